#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/test_signal.h"
#include "base/thread_service.h"
#include "base/wait.h"
#include "group/poll_connection.h"
#include "group/recovery.h"
#include "group/rest.h"
#include "group/slots.h"

namespace weir::group {

struct ConsumerOptions {
  std::string feed = "default";
  std::string sink;
  std::size_t concurrency = 16;
  /// Nothing: by lock on a direct connection, by lease through a pooler.
  std::optional<Ownership> ownership{};
  Duration poll = std::chrono::seconds(1);  ///< the longest pause between two looks
  Duration drain = std::chrono::seconds(30);
  bool once = false;
};

/// A process that consumes a sink's batches: the poll loop is this service's thread, the sweeps and the
/// groups in flight have theirs. stop() drains.
class Consumer final : public ThreadService {
 public:
  Consumer(std::shared_ptr<const pg::Connector> connector, SinkFactory sinks, ConsumerOptions options);
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "group consumer"; }
  [[nodiscard]] const GroupCounts& counts() const noexcept { return counts_; }
  /// Once it was started.
  [[nodiscard]] Ownership ownership() const noexcept { return ownership_; }
  /// Readable when nothing is left, with options.once.
  [[nodiscard]] Wakeup& finished() noexcept { return finished_; }
  /// For tests: it sleeps, and nobody can have missed it. For how long, if nobody wakes it.
  TestSignal<Duration> sleeps;

 protected:
  void run(const std::stop_token& stop, const std::function<void()>& ready) override;

 private:
  /// How long to wait for the next look; nothing when all is done.
  std::optional<Duration> look(PollConnection& connection, Slots& slots, Rest& rest);

  const std::shared_ptr<const pg::Connector> connector_;
  const SinkFactory sinks_;
  const ConsumerOptions options_;
  std::string owner_;  // of this start: what an earlier one left is not this one's
  SinkDefinition sink_;
  Ownership ownership_ = Ownership::lease;
  GroupCounts counts_;
  Wakeup freed_;
  Wakeup finished_;
};

/// Throws, with the arithmetic, where the server does not grant a consumer its connections.
void require_connections(pg::Session& session, std::size_t concurrency);

}  // namespace weir::group
