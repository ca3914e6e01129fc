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

pg::Session open_users_database(const Context& context, std::string_view purpose) {
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  pg::Connector::Options options = connector_for(conninfo).options();
  options.users_search_path = true;
  pg::Session session =
      pg::Connector(conninfo, options).connect(pg::Role::api, purpose, {.stop = context.stop});
  session.set_stop(context.stop);
  schema::require_schema(session);
  return session;
}

}  // namespace weir::cli
