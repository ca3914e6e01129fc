#include "stream/chunk_events.h"

#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "pg/row.h"

namespace weir::stream {
namespace {

/// What fits into a row as it is needs no second look.
constexpr int kPlainBytes = 1900;

/// Their number is not their id; that of a chunk's events is.
bool are_letters(const GroupWork& work) { return std::holds_alternative<Letters>(work.events); }

/// A large payload is left out; that of a compressed one is not known before it is unpacked. Mostly the index
/// gives that order; where a transaction's events lie in several partitions, the server merges them.
std::string in_order(const StreamSql& sql, const GroupWork& work, std::optional<std::size_t> most) {
  const std::string columns = fmt::format(
      "{0}::bigint AS id, {1} AS at, {2} AS key, CASE WHEN {3} IS NULL OR pg_catalog.pg_column_size({3}) <= "
      "{4} AND pg_catalog.pg_column_compression({3}) IS NULL THEN coalesce({3}::text, 'null') END AS "
      "payload, {5}::bigint AS number, {6} AS written_by, {0} AS place",
      sql.id(), sql.at(), sql.key(), sql.payload(), kPlainBytes, sql.number_of(work), sql.xid());
  const std::string_view more = are_letters(work) ? ", number"
                                : work.lane       ? ", written_by::text::bigint"
                                                  : "";
  const std::string limit = most ? fmt::format(" LIMIT {}", *most) : std::string();
  return fmt::format("SELECT id, at, key, payload{} FROM ({}) e ORDER BY written_by, place{}", more,
                     sql.select(work, columns), limit);
}

}  // namespace

ChunkEvents::ChunkEvents(pg::Session& session, const StreamDefinition& stream, const StreamSql& sql,
                         const GroupWork& work, int max_attempts, std::optional<std::size_t> most)
    : sql_(sql), work_(work), answer_(session.execute(in_order(sql, work, most))) {
  items_.reserve(static_cast<std::size_t>(answer_.rows()));
  heavy_.reserve(items_.capacity());
  numbers_.reserve(items_.capacity());
  const bool letters = are_letters(work);
  for (const pg::Row row : answer_) {
    const auto id = row.get<std::int64_t>(0);
    const auto number = letters ? row.get<std::int64_t>(4) : id;
    const auto payload = row.get<std::optional<std::string_view>>(3);
    items_.push_back({.id = id,
                      .source = stream.name,
                      .kind = row.get<std::optional<std::string_view>>(2).value_or(std::string_view()),
                      .payload = payload.value_or(std::string_view()),
                      .attempt = work.failed(number) + 1,
                      .max_attempts = max_attempts,
                      .created_at = row.get<WallTime>(1)});
    numbers_.push_back(number);
    if (work.lane) xids_.push_back(row.get<std::int64_t>(4));
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
