#include "cli/load/open.h"

#include "cli/database.h"
#include "schema/schema_check.h"

namespace weir::cli {
namespace {

pg::Session connect(const pg::Connector& connector, const Context& context, std::string_view purpose) {
  pg::Session session = connector.unprepared().connect(pg::Role::api, purpose, {.stop = context.stop});
  session.set_stop(context.stop);
  schema::require_schema(session);
  return session;
}

std::shared_ptr<const pg::Connector> connector_of(const Context& context) {
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  pg::Connector::Options options;
  options.users_search_path = true;
  return std::make_shared<const pg::Connector>(conninfo, options);
}

}  // namespace

std::shared_ptr<const pg::Connector> load_connector(const Context& context) {
  auto connector = connector_of(context);
  connect(*connector, context, "load");
  return connector;
}

pg::Session open_loads(const Context& context, std::string_view purpose) {
  return connect(*connector_of(context), context, purpose);
}

}  // namespace weir::cli
