#include "work/work_connector.h"

#include <string>

#include "base/log.h"
#include "pg/budget.h"
#include "pg/session.h"
#include "schema/server_info.h"

namespace weir::work {

WorkConnector connector_for_work(std::shared_ptr<const pg::Connector> connector, const pg::Limit& limit) {
  // In a busy pool two looks may meet the same server process by chance: what looks like a pool in session
  // mode is not relied upon.
  const pg::Pooling pooling = pg::detect_pooling(*connector, limit);
  if (pooling == pg::Pooling::none) return {std::move(connector), true, pooling};
  log::info("a pooler is in between: looking for work at intervals, because nobody may be woken through it");
  return {std::make_shared<pg::Connector>(connector->unprepared()), false, pooling};
}

void require_connections(pg::Session& session, std::size_t task_sessions, int poll_sessions) {
  const pg::Budget budget{.lines = {{pg::Role::poll, poll_sessions},
                                    {pg::Role::recovery, 2},
                                    {pg::Role::listen, 1},
                                    {pg::Role::task, static_cast<int>(task_sessions)}}};
  schema::require_budget(session, budget);
}

void require_read_committed(pg::Session& session) {
  const auto level = session.execute("SHOW default_transaction_isolation")[0].get<std::string>(0);
  if (level == "read committed") return;
  throw Error(ExitCode::database,
              "transactions of this user are " + level + " by default, and limits would not hold",
              "The pooler in between keeps Weir from choosing: ALTER ROLE .. SET "
              "default_transaction_isolation = 'read committed';");
}

}  // namespace weir::work
