#include "stream/chunk_events.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "pg/row.h"

namespace weir::stream {
namespace {

/// What fits into a row as it is needs no second look.
constexpr int kPlainBytes = 1900;

/// A large payload is left out; that of a compressed one is not known before it is unpacked. Mostly the index
/// gives that order; where a transaction's events lie in several partitions, the server merges them.
std::string in_order(const StreamSql& sql, const GroupWork& work) {
  const std::string columns = fmt::format(
      "{0}::bigint AS number, {1}::bigint AS id, {2} AS at, {3} AS key, CASE WHEN {4} IS NULL OR "
      "pg_catalog.pg_column_size({4}) <= {5} AND pg_catalog.pg_column_compression({4}) IS NULL THEN "
      "coalesce({4}::text, 'null') END AS payload, {6} AS written_by, {1} AS place",
      sql.number_of(work), sql.id(), sql.at(), sql.key(), sql.payload(), kPlainBytes, sql.xid());
  return fmt::format("SELECT number, id, at, key, payload FROM ({}) e ORDER BY written_by, place",
                     sql.select(work, columns));
}

}  // namespace

ChunkEvents::ChunkEvents(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql,
                         const GroupWork& work, int max_attempts)
    : sql_(sql), work_(work), answer_(session.execute(in_order(sql, work))) {
  items_.reserve(static_cast<std::size_t>(answer_.rows()));
  heavy_.reserve(items_.capacity());
  numbers_.reserve(items_.capacity());
  for (const pg::Row row : answer_) {
    const auto number = row.get<std::int64_t>(0);
    const auto payload = row.get<std::optional<std::string_view>>(4);
    items_.push_back({.id = row.get<std::int64_t>(1),
                      .source = stream.name,
                      .kind = row.get<std::optional<std::string_view>>(3).value_or(std::string_view()),
                      .payload = payload.value_or(std::string_view()),
                      .attempt = work.failed(number) + 1,
                      .max_attempts = max_attempts,
                      .created_at = row.get<WallTime>(2)});
    numbers_.push_back(number);
    heavy_.push_back(!payload);
    if (!payload) loaded_.resize(items_.capacity());
  }
}

void ChunkEvents::load(std::size_t index, pg::Session& session) {
  const pg::Result found = session.execute(
      fmt::format("SELECT payload FROM ({}) e WHERE number = $1",
                  sql_.select(work_, fmt::format("{} AS number, coalesce({}::text, 'null') AS payload",
                                                 sql_.number_of(work_), sql_.payload()))),
      numbers_[index]);
  // Somebody deleted it a moment ago.
  loaded_[index] = found.rows() == 0 ? "null" : std::string(found[0].get<std::string_view>(0));
  items_[index].payload = loaded_[index];
}

void ChunkEvents::unload(std::size_t index) noexcept {
  if (!heavy_[index]) return;
  items_[index].payload = {};
  loaded_[index] = {};
}

}  // namespace weir::stream
