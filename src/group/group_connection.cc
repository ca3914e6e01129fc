#include "group/group_connection.h"

#include <algorithm>

#include "group/hint.h"
#include "schema/queries/groups.h"

namespace weir::group {
namespace {

Batch to_batch(const GroupKey& group, const auto& row) {
  return {.group = group,
          .run_id = *row.run_id,
          .run_at = *row.run_at,
          .run = row.run ? std::string(*row.run) : std::string(),
          .idx = *row.idx,
          .final = *row.final,
          .attempt = *row.attempt,
          .rows = row.rows,
          .bytes = row.bytes,
          .created_at = *row.created_at,
          .error = row.error ? std::string(*row.error) : std::string(),
          .payload = row.payload ? std::string(row.payload->text) : std::string()};
}

OwnedGroup::Begun to_begun(const GroupKey& group, const auto& row) {
  using State = OwnedGroup::Begun::State;
  const std::int32_t failed = row.failed.value_or(0);
  if (row.state == "begun") return {State::begun, to_batch(group, row), failed};
  return {row.state == "none" ? State::none : State::lost, std::nullopt, failed};
}

/// Of the lock that a group is owned by; of a lease nothing.
struct LockKey {
  std::optional<std::int32_t> space{};
  std::optional<std::int32_t> key{};
};

/// Who asks whether the group is still his has the answer before the lease can have ended, or no connection.
class WithinLease {
 public:
  WithinLease(pg::Session& session, const SinkDefinition& sink)
      : session_(session), before_(session.options().timeout) {
    session_.set_timeout(std::min(before_, sink.lease / 3));
  }
  WithinLease(const WithinLease&) = delete;
  WithinLease& operator=(const WithinLease&) = delete;
  ~WithinLease() { session_.set_timeout(before_); }

 private:
  pg::Session& session_;
  Duration before_;
};

}  // namespace

GroupConnection GroupConnection::open(const pg::Connector& connector, std::string_view id,
                                      const pg::Limit& limit) {
  return GroupConnection(pg::PinnedSession::open(connector, pg::Role::group, id, limit));
}

tl::expected<OwnedGroup, GroupConnection> GroupConnection::try_lock(GroupConnection connection,
                                                                    const SinkDefinition& sink,
                                                                    const GroupKey& group,
                                                                    Ownership ownership,
                                                                    const std::string& owner) {
  bool taken = false;
  const auto take = [&](pg::Session& session, const LockKey& key) {
    const auto rows = session.run<sql::TakeGroup>(sink.id, group.tenant, group.key, owner, key.space, key.key,
                                                  sink.lease_ms());
    const auto row = rows.one();
    taken = row.taken;
    return row.locked.value_or(false);
  };
  if (ownership == Ownership::lease) {
    connection.session_.use([&](pg::Session& session) { static_cast<void>(take(session, {})); });
    if (!taken) return tl::unexpected(std::move(connection));
    return OwnedGroup(std::move(connection.session_), sink, group, owner);
  }
  const pg::AdvisoryKey key = lock_key(sink.id, group);
  auto lock = pg::GroupLock::try_acquire_by(std::move(connection.session_), key, [&](pg::Session& session) {
    return take(session, {key.space, key.key});
  });
  if (!lock) return tl::unexpected(GroupConnection(std::move(lock.error())));
  // It may be somebody's by lease, or by a lock whose owner died and was not cleared away yet.
  if (!taken) return tl::unexpected(GroupConnection(std::move(*lock).release()));
  return OwnedGroup(*std::move(lock), sink, group, owner);
}

OwnedGroup::Begun OwnedGroup::begin(bool with_payload) {
  return use([&](pg::Session& session) {
    const auto rows = session.run<sql::BeginBatch>(sink_.id, group_.tenant, group_.key, owner_,
                                                   sink_.lease_ms(), sink_.max_attempts, with_payload);
    return to_begun(group_, rows.one());
  });
}

std::optional<OwnedGroup::Begun> OwnedGroup::end_and_begin(bool with_payload) {
  return use([&](pg::Session& session) -> std::optional<Begun> {
    const auto rows = session.run<sql::EndAndBeginBatch>(sink_.id, group_.tenant, group_.key, owner_,
                                                         sink_.lease_ms(), sink_.max_attempts, with_payload);
    const auto row = rows.one();
    if (!row.accepted) return std::nullopt;
    return to_begun(group_, row);
  });
}

std::optional<std::string> OwnedGroup::fetch(const Batch& batch) {
  return use([&](pg::Session& session) -> std::optional<std::string> {
    const auto rows = session.run<sql::FetchPayload>(batch.run_id, batch.run_at, batch.idx);
    if (rows.empty()) return std::nullopt;
    return std::string(rows.one().payload.text);
  });
}

bool OwnedGroup::renew() {
  return use([&](pg::Session& session) {
    const WithinLease quick(session, sink_);
    const auto rows =
        session.run<sql::RenewGroup>(sink_.id, group_.tenant, group_.key, owner_, sink_.lease_ms());
    return rows.one().renewed;
  });
}

bool OwnedGroup::verify() {
  return use([&](pg::Session& session) {
    const WithinLease quick(session, sink_);
    const auto rows = session.run<sql::OwnsGroup>(sink_.id, group_.tenant, group_.key, owner_);
    return rows.one().owns;
  });
}

bool OwnedGroup::pin() {
  return use([&](pg::Session& session) {
    const auto rows =
        session.run<sql::PinGroup>(sink_.id, group_.tenant, group_.key, owner_, sink_.lease_ms());
    return rows.one().pinned;
  });
}

bool OwnedGroup::end(const Ending& ending) {
  return use([&](pg::Session& session) {
    const auto rows = session.run<sql::EndBatch>(
        sink_.id, group_.tenant, group_.key, owner_, sink_.lease_ms(), to_string(ending.kind), ending.error,
        std::chrono::duration_cast<std::chrono::milliseconds>(ending.delay).count());
    return rows.one().accepted;
  });
}

GroupConnection OwnedGroup::release() && {
  bool asleep = false;
  const auto let_go = [&](pg::Session& session, const LockKey& key) {
    const auto rows =
        session.run<sql::ReleaseGroup>(sink_.id, group_.tenant, group_.key, owner_, key.space, key.key);
    const auto row = rows.one();
    asleep = row.asleep;
    return row.unlocked.value_or(false);
  };
  const auto session_back = [&]() -> pg::PinnedSession {
    if (auto* const lock = std::get_if<pg::GroupLock>(&hold_)) {
      const pg::AdvisoryKey key = lock->key();
      return std::move(*lock).release_by([&](pg::Session& session) {
        return let_go(session, {key.space, key.key});
      });
    }
    use([&](pg::Session& session) { static_cast<void>(let_go(session, {})); });
    return std::get<pg::PinnedSession>(std::move(hold_));
  };
  GroupConnection free(session_back());
  // Only now that others see it: who was told earlier, by whoever had submitted to it, has looked in vain.
  if (asleep) {
    free.session_.use(
        [&](pg::Session& session) { hint<sql::WakeForGroup>(session, sink_.id, group_.tenant, group_.key); });
  }
  return free;
}

void OwnedGroup::hand_over() noexcept {
  std::visit([](auto& hold) { hold.hand_over(); }, hold_);
}

bool OwnedGroup::is_open() const noexcept {
  return std::visit([](const auto& hold) { return hold.is_open(); }, hold_);
}

void give_back(pg::Session& session, const SinkDefinition& sink, const GroupKey& group,
               const std::string& owner, const std::optional<BatchTry>& at, const Ending& ending) {
  std::optional<std::int64_t> run;
  std::optional<std::int32_t> idx;
  std::optional<std::int32_t> attempt;
  if (at) {
    run = at->run_id;
    idx = at->idx;
    attempt = at->attempt;
  }
  session.run<sql::GiveBackGroup>(
      sink.id, group.tenant, group.key, owner, sink.lease_ms(), run, idx, attempt, to_string(ending.kind),
      ending.error, std::chrono::duration_cast<std::chrono::milliseconds>(ending.delay).count());
  hint<sql::WakeForGroup>(session, sink.id, group.tenant, group.key);
}

}  // namespace weir::group
