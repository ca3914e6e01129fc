#include "group/recovery_connection.h"

#include "base/log.h"
#include "group/group_key.h"
#include "group/hint.h"
#include "pg/transaction.h"
#include "schema/queries/groups.h"

namespace weir::group {
namespace {

std::int64_t ms(Duration span) { return std::chrono::duration_cast<std::chrono::milliseconds>(span).count(); }

}  // namespace

RecoveryConnection RecoveryConnection::open(const pg::Connector& connector, std::string_view id,
                                            const pg::Limit& limit) {
  auto session = pg::PinnedSession::open(connector, pg::Role::recovery, id, limit);
  session.use([&](pg::Session& on) { on.set_stop(limit.stop); });
  return RecoveryConnection(std::move(session));
}

RecoveryConnection::Swept RecoveryConnection::recover(const SinkDefinition& sink, Duration frozen_listener) {
  return session_.use([&](pg::Session& session) {
    const std::int32_t space = lock_space(sink.id);
    session.run<sql::MakeBatchDay>();
    const int frozen = session.run<sql::HangUpFrozenOwners>(sink.id, space, sink.lease_ms()).size();
    if (frozen > 0)
      log::warn("owners of groups said nothing for a lease: hung up on", {{"sessions", frozen}});
    const int asleep = session.run<sql::HangUpFrozenListeners>(ms(frozen_listener)).size();
    if (asleep > 0)
      log::warn("consumers that listen did not look for long: hung up on", {{"sessions", asleep}});
    const auto rows = session.run<sql::RecoverGroups>(sink.id, space, sink.max_attempts, ms(sink.backoff));
    Swept swept;
    for (const auto& row : rows) {
      ++swept.groups;
      swept.failed += row.failed ? 1 : 0;
      log::warn(row.failed   ? "a batch was lost with its consumer too often: its run has failed"
                : row.run_id ? "a batch was lost with its consumer: it will be tried again"
                             : "a group was left behind: it is free again",
                {{"sink", sink.name}, {"tenant", row.tenant}, {"key", row.key}, {"owner", row.owner}});
    }
    // Ours knows it from us; others may have the slots.
    if (swept.groups > 0) hint<sql::WakeSink>(session, sink.id);
    return swept;
  });
}

RecoveryConnection::Swept RecoveryConnection::keep(const SinkDefinition& sink) {
  return session_.use([&](pg::Session& session) {
    session.run<sql::KeepBatchDays>();
    const auto rows = session.run<sql::FailStrandedRuns>(sink.id, ms(sink.stranded));
    const std::int64_t failed = rows.one().failed;
    if (failed > 0)
      log::warn("runs waited in vain for their next batch", {{"sink", sink.name}, {"runs", failed}});
    return Swept{.groups = 0, .failed = failed};
  });
}

}  // namespace weir::group
