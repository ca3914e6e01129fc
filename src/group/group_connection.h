#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <tl/expected.hpp>

#include "group/batch.h"
#include "group/ending.h"
#include "group/sink_definition.h"
#include "pg/group_lock.h"

namespace weir::group {

/// How a group is owned. A lock goes with its session: who takes over does not wait for a lease to end. A
/// lease goes through poolers too. Both keep the owner's name on weir.group_hold, under which all of his
/// writes are made, so consumers of either kind may work side by side.
enum class Ownership { advisory, lease };

class OwnedGroup;

/// The connection of one group in flight. It can do nothing but take a group.
class GroupConnection {
 public:
  static GroupConnection open(const pg::Connector& connector, std::string_view id, const pg::Limit& limit);
  /// From now on its statements are broken off by it, too.
  void set_stop(std::stop_token stop) {
    session_.use([&](pg::Session& session) { session.set_stop(std::move(stop)); });
  }

  /// The connection itself comes back where somebody else has the group.
  static tl::expected<OwnedGroup, GroupConnection> try_lock(GroupConnection connection,
                                                            const SinkDefinition& sink, const GroupKey& group,
                                                            Ownership ownership, const std::string& owner);
  [[nodiscard]] int backend_pid() const noexcept { return session_.backend_pid(); }
  /// Whether it still stands, as far as one look at the socket can tell.
  bool check() { return session_.check(); }
  [[nodiscard]] bool is_open() const noexcept { return session_.is_open(); }

 private:
  friend class OwnedGroup;
  explicit GroupConnection(pg::PinnedSession session) noexcept : session_(std::move(session)) {}

  pg::PinnedSession session_;
};

/// A group and the connection that owns it: status, heartbeat and release go this way only. It is made only
/// by a try that succeeded. Destroyed without release() it closes the session: a lock is free then, a lease
/// ends by itself. Every verb asks the server whether the group is still ours.
class OwnedGroup {
 public:
  struct Begun {
    enum class State { begun, none, lost };
    State state;
    std::optional<Batch> batch;  ///< with its payload, if that is small
    std::int32_t failed = 0;     ///< runs of the group that had no attempt left
  };
  /// The group's next batch, looked up now, with its attempt counted.
  Begun begin(bool with_payload = true);
  /// Of a batch that was begun without its payload, which is large: by a statement that locks nothing.
  /// Nothing: it is gone.
  std::optional<std::string> fetch(const Batch& batch);
  /// False: it is somebody else's, and for good.
  bool renew();
  [[nodiscard]] bool verify();
  /// False: it was not accepted, and nothing was written.
  bool end(const Ending& ending);
  /// The batch has succeeded, and the next one is begun, in one transaction. Nothing: that was not accepted,
  /// and nothing was written.
  std::optional<Begun> end_and_begin(bool with_payload);
  /// In the transaction at hand: as long as it lasts nobody takes the group. Who is silent in it for a lease
  /// is hung up on.
  bool pin();
  /// What comes back may be closed: others are told of the group when it is theirs already.
  GroupConnection release() &&;

  /// For a sink that works in the group's own transaction.
  template <class Work>
  decltype(auto) use(Work&& work) {
    if (auto* lock = std::get_if<pg::GroupLock>(&hold_)) return lock->use(std::forward<Work>(work));
    return std::get<pg::PinnedSession>(hold_).use(std::forward<Work>(work));
  }
  void hand_over() noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  [[nodiscard]] const GroupKey& group() const noexcept { return group_; }

 private:
  friend class GroupConnection;
  using Hold = std::variant<pg::GroupLock, pg::PinnedSession>;
  OwnedGroup(Hold hold, SinkDefinition sink, GroupKey group, std::string owner) noexcept
      : hold_(std::move(hold)), sink_(std::move(sink)), group_(std::move(group)), owner_(std::move(owner)) {}

  Hold hold_;
  SinkDefinition sink_;
  GroupKey group_;
  std::string owner_;
};

/// For an owner whose connection is of no use any more: ends what he had begun and gives the group back by
/// another one, so that nobody waits for the lease. What was committed, or went to somebody else, stays as it
/// is. `at` is what he knows that he was at: what the server has begun for him beyond that, its answer being
/// lost, was never tried.
void give_back(pg::Session& session, const SinkDefinition& sink, const GroupKey& group,
               const std::string& owner, const std::optional<BatchTry>& at, const Ending& ending);

}  // namespace weir::group
