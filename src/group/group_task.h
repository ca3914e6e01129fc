#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "group/group_connection.h"
#include "group/sink.h"

namespace weir::group {

/// How often what happened, since the consumer began.
struct GroupCounts {
  std::atomic<std::int64_t> succeeded{0};
  std::atomic<std::int64_t> retried{0};
  std::atomic<std::int64_t> failed{0};   ///< batches, and runs that the sweeps ended
  std::atomic<std::int64_t> lost{0};     ///< whose end was not accepted, or could not be told
  std::atomic<std::int64_t> skipped{0};  ///< groups that somebody else had
  std::atomic<std::int64_t> begun{0};    ///< groups that were taken, and of which a batch was begun
  std::atomic<std::int64_t> woken{0};    ///< from sleep, by who had something for it
};

/// The batches of one owned group, in their order: until there is none that can be applied, one does not
/// succeed, the group is lost, or it is time to let another group have the slot. Used by one thread.
class GroupTask {
 public:
  struct Stops {
    std::stop_token soft;  ///< begin nothing more
    std::stop_token hard;  ///< break off what runs
  };
  GroupTask(const SinkDefinition& definition, Sink& sink, GroupCounts& counts, Stops stops)
      : definition_(definition), sink_(sink), counts_(counts), stops_(std::move(stops)) {}

  /// The connection, when the group was given up in order. `yield` is asked after each batch.
  std::optional<GroupConnection> run(OwnedGroup group, const std::function<bool()>& yield);
  /// What it was at, also when run() threw.
  [[nodiscard]] const std::optional<BatchTry>& at() const noexcept { return at_; }

 private:
  enum class Step { succeeded, halted, lost };
  /// What goes on after a batch that has succeeded: the next one, begun, or none.
  using Next = std::optional<Batch>;
  using Yield = std::function<bool()>;

  /// The payload, where it did not come with the batch. How it ended, where it did.
  std::optional<Step> fetch(OwnedGroup& group, Batch& batch);
  Step apply(std::optional<OwnedGroup>& group, const Batch& batch, const Yield& yield, Next& next);
  Step apply_inside(OwnedGroup& group, const Batch& batch, const Yield& yield, Next& next);
  Step apply_outside(std::optional<OwnedGroup>& group, const Batch& batch, const Yield& yield, Next& next);
  /// False: it was not accepted. Begins the next one on the same way, which saves a transaction for each.
  bool end(OwnedGroup& group, const Ending& ending, const Yield& yield, Next& next);
  /// In a transaction that is pinned: what failed is undone, and the status of that is kept.
  work::Outcome try_inside(pg::Session& session, const Batch& batch);
  Step conclude(const Batch& batch, const Ending& ending, bool accepted);

  const SinkDefinition& definition_;
  Sink& sink_;
  GroupCounts& counts_;
  Stops stops_;
  std::optional<BatchTry> at_;
};

}  // namespace weir::group
