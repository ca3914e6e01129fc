#include "work/work_connector.h"

#include <string>

#include "base/log.h"
#include "pg/pooler.h"
#include "pg/session.h"

namespace weir::work {

WorkConnector connector_for_work(std::shared_ptr<const pg::Connector> connector) {
  if (pg::detect_pooling(*connector) == pg::Pooling::none) return {std::move(connector), true};
  log::info(
      "a transaction pooler is in between: looking for work at intervals, because nobody can wake us through "
      "it");
  pg::Connector::Options options = connector->options();
  options.session.prepare = false;
  return {std::make_shared<pg::Connector>(connector->conninfo(), options), false};
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
