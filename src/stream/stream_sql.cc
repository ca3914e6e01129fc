#include "stream/stream_sql.h"

#include <vector>

#include <fmt/format.h>

#include "pg/identifier.h"
#include "stream/sql_time.h"

namespace weir::stream {
namespace {

/// There is no cast from bigint to xid8 but by way of text.
std::string xids(std::string_view parameter) {
  return fmt::format("ARRAY(SELECT x::text::xid8 FROM pg_catalog.unnest({}) x)", parameter);
}

std::string xid_array(const std::vector<Xid>& xids) {
  return fmt::format("'{{{}}}'::pg_catalog.xid8[]", fmt::join(xids, ","));
}

std::string timestamp(WallTime time) { return fmt::format("'{}'::timestamptz", sql_time(time)); }

std::string column(const std::string& name) { return "e." + pg::quote_identifier(name); }

/// Without what Weir added to it. A column may be called e: `e` alone would be that one.
std::string whole_row(const StreamColumns& columns) {
  return fmt::format("(pg_catalog.to_jsonb(e.*) OPERATOR(pg_catalog.-) {})", pg::quote_literal(columns.xid));
}

/// Of the work at hand, see SqlDoer.
std::string setting(std::string_view name, std::string_view type) {
  return fmt::format("pg_catalog.current_setting('weir.chunk_{}')::{}", name, type);
}

}  // namespace

StreamSql::StreamSql(const StreamDefinition& stream)
    : table_(pg::quote_identifier(stream.schema) + "." + pg::quote_identifier(stream.table)),
      xid_(column(stream.columns.xid)),
      id_(column(stream.columns.id)),
      at_(column(stream.columns.at)),
      key_(stream.columns.key ? column(*stream.columns.key) + "::text" : "NULL::text"),
      payload_(stream.columns.payload ? column(*stream.columns.payload) : whole_row(stream.columns)) {
  const auto written = [&](const std::string& which) {
    return fmt::format(
        "SELECT {0}::text::bigint, pg_catalog.count(*), pg_catalog.min({1}), pg_catalog.max({1}) FROM {2} e "
        "WHERE {3} GROUP BY {0} ORDER BY {0}",
        xid_, at_, table_, which);
  };
  written_ = written(fmt::format("{0} >= ($1::bigint)::text::xid8 AND {0} < ($2::bigint)::text::xid8 AND "
                                 "{0} <> ALL ({1})",
                                 xid_, xids("$3::bigint[]"))) +
             " LIMIT $4::bigint";
  written_late_ = written(fmt::format("{} = ANY ({})", xid_, xids("$1::bigint[]")));
  pieces_ = fmt::format(
      "SELECT pg_catalog.max(id)::bigint, pg_catalog.count(*), pg_catalog.min(at), pg_catalog.max(at) FROM ("
      "SELECT {0} AS id, {1} AS at, (pg_catalog.row_number() OVER (ORDER BY {0}) - 1) / $2::bigint AS piece "
      "FROM {2} e WHERE {3} = ($1::bigint)::text::xid8) p GROUP BY piece ORDER BY piece",
      id_, at_, table_, xid_);

  view_ = view_of_chunk("");
  // Each setting once, and not for each event.
  const auto once = [](const char* name, const char* type) {
    return fmt::format("(SELECT {})", setting(name, type));
  };
  lane_view_ = view_of_chunk(fmt::format(
      " AND {0} = {1} AND ({2} > {3} OR {2} = {3} AND {4} > {5}) AND ({2} < {6} OR {2} = {6} AND {4} <= {7})",
      lane_of(key_, once("lanes", "bigint")), once("lane", "bigint"), xid_, once("past_xid", "xid8"), id_,
      once("past_id", "bigint"), once("until_xid", "xid8"), once("until_id", "bigint")));
}

std::string StreamSql::lane_of(std::string_view key, std::string_view lanes) {
  return fmt::format(
      "pg_catalog.abs(pg_catalog.hashtextextended(coalesce({}, '') COLLATE pg_catalog.\"C\", 0) % {})", key,
      lanes);
}

/// `more`: said of a chunk's events, not of letters.
std::string StreamSql::view_of_chunk(const std::string& more) const {
  // The bounds are settings of the transaction: a view, or a table, for each chunk would bloat the catalogue.
  // An arm whose kind is not that of the work is not begun.
  const auto arm = [&](const char* kind, const std::string& from, const std::string& which,
                       const std::string& number) {
    return fmt::format("SELECT e.* FROM {} WHERE {} = '{}' AND {} BETWEEN {} AND {} AND {}", from,
                       setting("kind", "text"), kind, number, setting("first", "bigint"),
                       setting("last", "bigint"), which);
  };
  const std::string in_time =
      fmt::format(" AND {} BETWEEN {} AND {}", at_, setting("first_at", "timestamptz"),
                  setting("last_at", "timestamptz")) +
      more;
  const std::string from = table_ + " e";
  return "CREATE TEMPORARY VIEW weir_chunk AS " +
         arm("range", from,
             fmt::format("{0} >= {1} AND {0} < {2} AND {0} <> ALL ({3})", xid_, setting("from", "xid8"),
                         setting("to", "xid8"), setting("open", "xid8[]")) +
                 in_time,
             id_) +
         " UNION ALL " +
         arm("range", from, fmt::format("{} = ANY ({})", xid_, setting("late", "xid8[]")) + in_time, id_) +
         " UNION ALL " +
         arm("slice", from,
             fmt::format("{} = {} AND {} > {} AND {} <= {}", xid_, setting("from", "xid8"), id_,
                         setting("after", "bigint"), id_, setting("upto", "bigint")) +
                 in_time,
             id_) +
         " UNION ALL " +
         arm("letters", letters_as_events(), fmt::format("l.id = ANY ({})", setting("letters", "bigint[]")),
             letter_);
}

std::string StreamSql::has_uncut(std::string_view table) const {
  return fmt::format(
      "SELECT EXISTS (SELECT FROM {0} e WHERE {1} >= ($1::bigint)::text::xid8 OR {1} = ANY ({2}))", table,
      xid_, xids("$2::bigint[]"));
}

const std::string& StreamSql::number_of(const GroupWork& work) const noexcept {
  return std::holds_alternative<Letters>(work.events) ? letter_ : id_;
}

std::string StreamSql::letters_as_events() const {
  return fmt::format(
      "weir.stream_letter l CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::{}, l.event) e",
      table_);
}

/// A condition more, or nothing. Written out: as a comparison of rows it would be what the index is searched
/// by.
std::string StreamSql::lane_part(const GroupWork& work) const {
  if (!work.lane) return {};
  std::string part =
      fmt::format(" AND {} = {}", lane_of(key_, std::to_string(work.lane->lanes)), work.lane->lane);
  if (const auto& after = work.lane->after)
    part +=
        fmt::format(" AND ({0} > '{1}' OR {0} = '{1}' AND {2} > {3})", xid_, after->xid, id_, after->event);
  return part;
}

std::string StreamSql::select(const GroupWork& work, std::string_view expressions) const {
  if (const auto* letters = std::get_if<Letters>(&work.events)) {
    return fmt::format("SELECT {} FROM {} WHERE l.id = ANY ('{{{}}}'::bigint[])", expressions,
                       letters_as_events(), fmt::join(ids_of(*letters), ","));
  }
  const auto& chunk = std::get<Chunk>(work.events);
  const std::string some = fmt::format("SELECT {} FROM {} e WHERE {} BETWEEN {} AND {}", expressions, table_,
                                       at_, timestamp(chunk.first_at), timestamp(chunk.last_at)) +
                           lane_part(work);
  if (chunk.slice) {
    return fmt::format("{0} AND {1} = '{2}' AND {3} > {4} AND {3} <= {5}", some, xid_, chunk.from, id_,
                       chunk.slice->after, chunk.slice->last);
  }
  std::string all = fmt::format("{0} AND {1} >= '{2}' AND {1} < '{3}'", some, xid_, chunk.from, chunk.to);
  if (!chunk.open.empty()) all += fmt::format(" AND {} <> ALL ({})", xid_, xid_array(chunk.open));
  if (!chunk.late.empty())
    all += fmt::format(" UNION ALL {} AND {} = ANY ({})", some, xid_, xid_array(chunk.late));
  return all;
}

std::string StreamSql::add_letters(const Chunk& chunk) const {
  const std::string event = fmt::format("{} AS id, {} AS at, pg_catalog.to_jsonb(e.*) AS event", id_, at_);
  return fmt::format(
      "INSERT INTO weir.stream_letter (group_id, event_id, at, event, attempt, next_at, error) "
      "SELECT $1::integer, e.id, e.at, e.event, f.attempt, pg_catalog.clock_timestamp() + f.delay_ms * "
      "interval '1 ms', f.error FROM ({}) e JOIN ROWS FROM (pg_catalog.unnest($2::bigint[]), "
      "pg_catalog.unnest($3::smallint[]), pg_catalog.unnest($4::bigint[]), pg_catalog.unnest($5::text[])) "
      "f(id, attempt, delay_ms, error) USING (id)",
      select({chunk}, event));
}

}  // namespace weir::stream
