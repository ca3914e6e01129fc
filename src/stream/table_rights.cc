#include "stream/table_rights.h"

#include <fmt/format.h>

#include "base/text.h"
#include "pg/identifier.h"
#include "schema/queries/streams_admin.h"
#include "stream/stream_table.h"

namespace weir::stream {

void require_rights(pg::Session& session, const StreamDefinition& stream, Rights rights) {
  const std::string table = stream.schema + "." + stream.table;
  const auto rows = session.run<sql::StreamRights>(stream.id);
  if (rows.empty() || !rows.one().owner) {
    throw Error(
        ExitCode::definition,
        fmt::format("the table {} of the stream {} is gone", printable(table), printable(stream.name)),
        fmt::format("Restore it, or make Weir forget it: weir stream drop {} --yes", printable(stream.name)));
  }
  const auto row = rows.one();
  const std::string user = pg::quote_identifier(row.me);
  if (rights == Rights::read && !row.may_read) {
    throw Error(ExitCode::database,
                fmt::format("user {} may not read {}", printable(row.me), printable(table)),
                fmt::format("GRANT SELECT ON {} TO {};", in_schema(stream, stream.table), user));
  }
  if (rights == Rights::own && !row.owns) {
    throw Error(
        ExitCode::database,
        fmt::format("user {} does not own {}, {} does", printable(row.me), printable(table),
                    printable(*row.owner)),
        fmt::format("Connect as the owner, or GRANT {} TO {};", pg::quote_identifier(*row.owner), user));
  }
}

}  // namespace weir::stream
