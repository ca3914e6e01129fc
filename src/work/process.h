#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <string>

#include "base/test_signal.h"
#include "base/thread_service.h"
#include "pg/connector.h"
#include "work/lease_life.h"

namespace weir::work {

/// One life of a process: from its registration until it retires or its lease is lost. What is claimed in one
/// life is worth nothing in the next, so work carries the life it was claimed in.
class Life {
 public:
  explicit Life(std::int64_t id) noexcept : id_(id) {}

  /// The worker_id of its claims; never used again.
  [[nodiscard]] std::int64_t id() const noexcept { return id_; }
  /// For application_name: sessions of a dead process are found by it.
  [[nodiscard]] std::string session_id() const { return "p" + std::to_string(id_); }
  /// Requested when the lease is lost: stop what was begun in this life.
  [[nodiscard]] std::stop_token lost() const noexcept { return lost_.get_token(); }
  [[nodiscard]] bool is_lost() const noexcept { return lost_.stop_requested(); }
  void lose() noexcept { lost_.request_stop(); }

 private:
  std::int64_t id_;
  std::stop_source lost_;
};

/// Keeps this process's lease (weir.process), on a thread and a session of its own, so that no work delays
/// it. When the lease is lost it registers anew, as another process. models/lease_time.pml: `Process`.
class Process final : public ThreadService {
 public:
  struct Options {
    std::string name;  ///< for people: host and pid
    Duration lease = std::chrono::seconds(15);
  };

  Process(std::shared_ptr<const pg::Connector> connector, Options options);
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() override;

  [[nodiscard]] std::string_view name() const noexcept override { return "process lease"; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }

  /// The present life; waits for the next one after a loss. Null when stop was requested first.
  [[nodiscard]] std::shared_ptr<Life> life(const std::stop_token& stop) const;

  /// For tests.
  TestSignal<std::int64_t> registered;
  TestSignal<std::int64_t> renewed;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  /// Renews until stop or loss.
  void live(pg::Session session, Life& life, LeaseLife lease, const std::stop_token& stop);
  bool renew(pg::Session& session, const Life& life, LeaseLife& lease, const std::stop_token& stop);
  void publish(std::shared_ptr<Life> life);
  void retire(pg::Session& session, const Life& life) noexcept;

  std::shared_ptr<const pg::Connector> connector_;
  Options options_;

  mutable Mutex mutex_;
  mutable std::condition_variable_any changed_;
  std::shared_ptr<Life> life_ WEIR_GUARDED_BY(mutex_);
};

/// host:pid
std::string process_name();

}  // namespace weir::work
