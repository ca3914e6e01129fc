#include "load/demo/scenery.h"

#include <algorithm>
#include <exception>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "pg/group_lock.h"
#include "pg/pooler.h"

namespace weir::load::demo {
namespace {

// No named queries: they are about a schema that exists while a demo runs.

constexpr std::int64_t kHundred = 100;
constexpr const char* kNote = "a rate as the market has it";
constexpr const char* kComment = "weir demo readers; dropped when it ends";
constexpr pg::AdvisoryKey kLock = pg::AdvisoryKey::of(0x77656972, "demo readers");

constexpr const char* kMakeTable = R"(
DROP TABLE IF EXISTS weir_demo.rates;
CREATE TABLE weir_demo.rates (
  id   int8           PRIMARY KEY,
  pair text           NOT NULL,
  rate numeric(12, 2) NOT NULL,
  note text           NOT NULL,
  mark int4           NOT NULL
);)";

// The load's own records of the demo: its runs are no part of anybody's history, and nobody loads from its
// stage again. Best effort: who may load need not be allowed to delete.
constexpr const char* kFindStages = R"(
SELECT format('DROP TABLE IF EXISTS weir_stage.%I', c.relname)
  FROM pg_catalog.pg_class c
 WHERE c.relnamespace = to_regnamespace('weir_stage')
   AND c.relname LIKE 'load\_' || $1::int8 || '\_%')";
constexpr const char* kForgetRuns = R"(
WITH gone AS (DELETE FROM weir.load_run WHERE target = 'weir_demo.rates' RETURNING id),
     chunks AS (DELETE FROM weir.load_chunk WHERE run IN (SELECT id FROM gone)),
     rejects AS (DELETE FROM weir.load_reject WHERE run IN (SELECT id FROM gone))
DELETE FROM weir.load_state WHERE run IN (SELECT id FROM gone))";

template <class Action>
void or_warn(const char* what, Action action) noexcept {
  try {
    action();
  } catch (const std::exception& error) {
    log::warn(what, {{"error", error.what()}});
  }
}

void drop(pg::Session& session) {
  const pg::Result table = session.execute(
      "SELECT c.oid::int8 FROM pg_catalog.pg_class c WHERE c.oid = to_regclass('weir_demo.rates')");
  for (const auto& row : table) {
    or_warn("the demo's stages are left behind", [&] {
      const pg::Result stages = session.execute(kFindStages, row.get<std::int64_t>(0));
      for (const auto& stage : stages) session.execute(stage.get<std::string>(0));
    });
  }
  or_warn("the demo's loads stay in the history of loads", [&] { session.execute(kForgetRuns); });
  session.execute("DROP SCHEMA IF EXISTS weir_demo CASCADE");
}

/// Whether the schema that is there was made by a demo; nothing where there is none.
std::optional<bool> is_ours(pg::Session& session) {
  const pg::Result found = session.execute(
      "SELECT obj_description(n.oid, 'pg_namespace') FROM pg_catalog.pg_namespace n WHERE n.nspname = "
      "'weir_demo'");
  if (found.rows() == 0) return std::nullopt;
  return found[0].get<std::optional<std::string>>(0) == kComment;
}

}  // namespace

const char* const kInsertGeneration = R"(
INSERT INTO weir_demo.rates (id, pair, rate, note, mark)
SELECT n.id, 'P' || n.id % 50, (n.id % 977 + m.mark)::numeric / 4, 'a rate as the market has it', m.mark
  FROM generate_series(1, $1::int8) AS n (id)
  CROSS JOIN LATERAL (SELECT greatest(0, $2::int8 - (($2::int8 - n.id) % 100 + 100) % 100)::int4 AS mark) m)";

std::int64_t mark_of(std::int64_t id, std::int64_t generation) noexcept {
  const std::int64_t since = ((generation - id) % kHundred + kHundred) % kHundred;
  return std::max<std::int64_t>(0, generation - since);
}

std::int64_t sum_of_marks(std::int64_t generation) noexcept {
  std::int64_t sum = 0;
  for (std::int64_t since = 0; since < kHundred; ++since)
    sum += std::max<std::int64_t>(0, generation - since);
  return sum;
}

ReadRecord::Seen judge(std::int64_t wanted, std::int64_t count, std::int64_t sum,
                       std::int64_t highest) noexcept {
  if (count == 0) return ReadRecord::Seen::empty;
  const bool whole = count == wanted && sum == wanted / kHundred * sum_of_marks(highest);
  return whole ? ReadRecord::Seen::whole : ReadRecord::Seen::mixed;
}

GenerationReader::GenerationReader(std::int64_t rows, std::int64_t generation)
    : columns_{"id", "pair", "rate", "note", "mark"},
      rows_(rows),
      generation_(generation),
      texts_(columns_.size()) {
  using Kind = Cell::Kind;
  for (const Kind kind : {Kind::number, Kind::text, Kind::number, Kind::text, Kind::number})
    cells_.push_back({kind});
}

std::optional<Record> GenerationReader::next() {
  if (id_ == rows_) return std::nullopt;
  ++id_;
  const std::int64_t mark = mark_of(id_, generation_);
  const std::int64_t quarters = id_ % 977 + mark;
  texts_ = {std::to_string(id_), fmt::format("P{}", id_ % 50),
            fmt::format("{}.{:02}", quarters / 4, quarters % 4 * 25), kNote, std::to_string(mark)};
  for (std::size_t i = 0; i < cells_.size(); ++i) cells_[i].text = texts_[i];
  Record record;
  record.cells = cells_;
  record.line = static_cast<std::uint64_t>(id_);
  return record;
}

Scenery::Scenery(std::shared_ptr<const pg::Connector> connector, int rows, std::stop_token stop)
    : connector_(std::move(connector)),
      rows_((rows + kSlice - 1) / kSlice * kSlice),
      stop_(std::move(stop)),
      holder_(connect()) {
  pg::require_session_state(pg::detect_pooling(*connector_, {.stop = stop_}), "weir demo readers");
  if (!holder_.execute("SELECT pg_try_advisory_lock($1, $2)", kLock.space, kLock.key)[0].get<bool>(0)) {
    throw Error(ExitCode::refused, "another weir demo readers is at it in this database",
                "Wait until it ends; it takes a minute.");
  }
  if (const auto ours = is_ours(holder_)) {
    if (!*ours) {
      throw Error(ExitCode::refused, "this database has a schema weir_demo that no demo of Weir's made",
                  "Rename it, or show the demo in another database.");
    }
    drop(holder_);
  }
  // One transaction: who is killed never leaves a schema without the comment that says whose it is.
  holder_.execute_script(
      fmt::format("CREATE SCHEMA weir_demo; COMMENT ON SCHEMA weir_demo IS '{}';", kComment));
}

Scenery::~Scenery() {
  or_warn("schema weir_demo is left behind; the next demo drops it", [&] {
    // Also after Ctrl-C, which ended the session that holds the lock: a new one, without the stop token.
    pg::Session session = connector_->connect(pg::Role::api, "demo");
    if (is_ours(session) == true) drop(session);
  });
}

void Scenery::fill() {
  pg::Session session = connect();
  session.execute_script(kMakeTable);
  session.execute(kInsertGeneration, rows_, std::int64_t{0});
  session.execute("VACUUM ANALYZE weir_demo.rates");
}

pg::Session Scenery::connect() const {
  pg::Session session = connector_->connect(pg::Role::api, "demo", {.stop = stop_});
  session.set_stop(stop_);
  return session;
}

}  // namespace weir::load::demo
