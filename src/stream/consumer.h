#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/service.h"
#include "stream/cutter.h"
#include "stream/group_source.h"
#include "work/process.h"
#include "work/runtime.h"
#include "work/transaction_runtime.h"

namespace weir::stream {

struct ConsumerOptions {
  std::string stream;
  std::string group;
  std::optional<WallTime> from;  ///< of a group that is new: also the events from this time on
  std::size_t workers = 4;
  std::int64_t batch = 1000;  ///< events that a handler gets at once
  Duration lease = std::chrono::seconds(15);
  Duration drain = std::chrono::seconds(30);
  bool once = false;
  Duration patience = std::chrono::hours(24);  ///< work::RuntimeOptions
  /// A group that is new is kept in order by key; one that is there has to be kept so already.
  bool ordered = false;
  std::optional<std::int32_t> lanes{};  ///< of an ordered group; one that is there has to have so many

  static constexpr std::int32_t kLanes = 16;  ///< where nobody says
};

/// A process that consumes a stream for a group, made where it is new, and that cuts the stream if nobody
/// else does. start() connects and registers; stop() drains.
class Consumer final : public Service {
 public:
  /// How events are worked on: exactly one of the two.
  struct Work {
    /// Leased: at least once; effects may be anywhere.
    work::HandlerFactory leased{};
    /// In one transaction with the group's progress: exactly once for effects in the same database.
    std::function<std::unique_ptr<WorkDoer>(const GroupSource& source)> transactional{};
  };

  Consumer(std::shared_ptr<const pg::Connector> connector, Work work, ConsumerOptions options);
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;
  ~Consumer() override { stop(); }

  [[nodiscard]] std::string_view name() const noexcept override { return "consumer"; }
  void start() override;
  void stop() noexcept override;
  /// Until nothing is left (options.once), stop is requested or the deadline passes. True in the first case.
  bool wait_until_finished(const std::stop_token& stop, Deadline deadline = Deadline::never());

  /// Once it was started.
  [[nodiscard]] const GroupDefinition& group() const noexcept { return source_->group(); }
  [[nodiscard]] const GroupCounts& counts() const noexcept { return source_->counts(); }

 private:
  void start_runtime(const work::RuntimeOptions& options,
                     const std::shared_ptr<const pg::Connector>& connector);
  [[nodiscard]] Service* runtime() const noexcept;

  const std::shared_ptr<const pg::Connector> connector_;
  const Work work_;
  const ConsumerOptions options_;
  Mutex mutex_;
  std::unique_ptr<work::Process> process_;
  std::unique_ptr<GroupSource> source_;
  std::unique_ptr<Cutter> cutter_;
  std::unique_ptr<work::Runtime> leased_;
  std::unique_ptr<work::TransactionRuntime> transactional_;
};

}  // namespace weir::stream
