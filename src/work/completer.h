#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <vector>

#include "base/thread_service.h"
#include "pg/connector.h"
#include "work/claim_source.h"

namespace weir::work {

class Inbox;

/// Writes outcomes in batches: whatever came in while the last batch was written is the next one. Tries again
/// until the server has answered or the lease is lost. stop() writes what there is first. models/lease.pml:
/// `Worker`, from `settle` on.
class Completer final : public ThreadService {
 public:
  Completer(const pg::Connector& connector, ClaimSource& source, Inbox& inbox)
      : connector_(connector), source_(source), inbox_(inbox) {}
  Completer(const Completer&) = delete;
  Completer& operator=(const Completer&) = delete;
  ~Completer() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "completer"; }
  void push(Settlement settlement);

  [[nodiscard]] std::uint64_t settled() const noexcept { return settled_; }
  /// Items whose outcome came too late.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  /// What is new, after waiting for it; `linger` bounds the wait where something is held back.
  std::vector<Settlement> take(const std::stop_token& stop, std::optional<Duration> linger);
  /// Until all is written or forgotten.
  void write(std::vector<Settlement>& pending, bool all);
  void write_once(std::vector<Settlement>& pending, bool all);
  void forget_lost(std::vector<Settlement>& pending);
  pg::Session& session(const Life& life);

  const pg::Connector& connector_;
  ClaimSource& source_;
  Inbox& inbox_;
  std::optional<pg::Session> session_;  // of the thread
  std::int64_t session_life_ = 0;
  std::atomic<std::uint64_t> settled_{0};
  std::atomic<std::uint64_t> refused_{0};

  Mutex mutex_;
  std::condition_variable_any arrived_;
  std::vector<Settlement> new_ WEIR_GUARDED_BY(mutex_);
};

}  // namespace weir::work
