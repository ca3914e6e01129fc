#include "cli/open_database.h"

#include "schema/schema_check.h"

namespace weir::cli {

pg::Session open_database(const Context& context, std::string_view purpose) {
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  pg::Session session = connector_for(conninfo).connect(pg::Role::api, purpose, {.stop = context.stop});
  session.set_stop(context.stop);
  schema::require_schema(session);
  return session;
}

}  // namespace weir::cli
