#include "stream/stream.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/transaction.h"
#include "schema/queries/streams.h"
#include "stream/horizon.h"
#include "stream/partition_plan.h"
#include "stream/stream_table.h"

namespace weir::stream {
namespace {

WallTime server_now(pg::Session& session) {
  return session.execute("SELECT clock_timestamp()")[0].get<WallTime>(0);
}

}  // namespace

StreamDefinition create_stream(pg::Session& session, const NewStream& wanted) {
  pg::Transaction transaction(session);
  const auto named = session.run<sql::StreamTableName>(wanted.name);
  const auto name = named.one();
  if (name.taken) {
    throw Error(ExitCode::refused, fmt::format("{} is there already", wanted.name),
                "Another name, or weir stream adopt TABLE makes a stream of a table.");
  }
  if (name.table_name.size() > 63) {
    throw Error(ExitCode::usage, fmt::format("the name {} is too long for a table", wanted.name),
                "PostgreSQL allows 63 bytes.");
  }
  StreamDefinition stream;
  stream.name = wanted.name;
  stream.schema = name.schema_name;
  stream.table = name.table_name;
  stream.chunk_events = wanted.chunk_events;
  create_stream_table(session, stream, wanted);
  const auto horizon = session.run<sql::StreamHorizon>();
  const Horizon now = parse_horizon(horizon.one().snapshot);
  const auto ms = [](Duration span) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(span).count();
  };
  const auto made = session.run<sql::MakeStream>(
      stream.name, stream.schema, stream.table, static_cast<std::int32_t>(wanted.chunk_events),
      ms(wanted.span), wanted.ahead,
      wanted.retain ? std::optional<std::int64_t>(ms(*wanted.retain)) : std::nullopt, wanted.retain_bytes,
      ms(wanted.hold), horizon.one().server_id, now.end, now.open);
  stream.id = made.one().id;
  stream.server_id = horizon.one().server_id;
  for (const Span& span : missing_spans({}, server_now(session), wanted.span, wanted.ahead)) {
    add_partition(session, stream, span);
  }
  transaction.commit();
  return stream;
}

StreamDefinition find_stream(pg::Session& session, const std::string& name) {
  const auto rows = session.run<sql::StreamDefinition>(name);
  if (rows.empty()) {
    std::vector<std::string> known;
    const auto names = session.run<sql::StreamNames>();
    for (const auto row : names) known.emplace_back(row.name);
    throw Error(ExitCode::definition, fmt::format("there is no stream {}", printable(name)),
                known.empty() ? "Make it with weir stream create."
                              : fmt::format("There are: {}.", fmt::join(known, ", ")));
  }
  const auto row = rows.one();
  const auto text = [](const std::optional<std::string_view>& column) {
    return column ? std::optional<std::string>(*column) : std::nullopt;
  };
  return {.id = row.id,
          .name = name,
          .schema = std::string(row.schema_name),
          .table = std::string(row.table_name),
          .columns = {.xid = std::string(row.xid_column),
                      .id = std::string(row.id_column),
                      .at = std::string(row.at_column),
                      .key = text(row.key_column),
                      .payload = text(row.payload_column)},
          .chunk_events = row.chunk_events,
          .server_id = row.server_id,
          .shift = row.shift,
          .adopted = row.adopted};
}

}  // namespace weir::stream
