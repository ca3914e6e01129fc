#include "stream/sql_doer.h"

#include <limits>
#include <vector>

#include <fmt/format.h>

#include "base/hash.h"
#include "pg/error.h"
#include "pg/identifier.h"
#include "stream/lane_run.h"
#include "stream/sql_time.h"
#include "work/bisection.h"
#include "work/transaction_parts.h"
#include "work/user_script.h"

namespace weir::stream {
namespace {

constexpr std::int64_t kFirst = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();

/// The settings that the view weir_chunk reads, for this transaction.
void set_bounds(pg::Session& session, const GroupWork& work) {
  const auto list = [](const std::vector<std::int64_t>& some) {
    return fmt::format("{{{}}}", fmt::join(some, ","));
  };
  const auto* letters = std::get_if<Letters>(&work.events);
  const Chunk chunk = letters != nullptr ? Chunk() : std::get<Chunk>(work.events);
  const Chunk::Slice slice = chunk.slice.value_or(Chunk::Slice());
  const std::string values[] = {letters != nullptr ? "letters"
                                : chunk.slice      ? "slice"
                                                   : "range",
                                sql_time(chunk.first_at),
                                sql_time(chunk.last_at),
                                std::to_string(chunk.from),
                                std::to_string(chunk.to),
                                list(chunk.open),
                                list(chunk.late),
                                std::to_string(slice.after),
                                std::to_string(slice.last),
                                list(letters != nullptr ? ids_of(*letters) : std::vector<std::int64_t>())};
  const std::vector<std::string_view> views(std::begin(values), std::end(values));
  session.execute(
      "SELECT pg_catalog.set_config('weir.chunk_' || name, value, true) FROM ROWS FROM (pg_catalog.unnest("
      "'{kind,first_at,last_at,from,to,open,late,after,upto,letters}'::text[]), "
      "pg_catalog.unnest($1::text[])) "
      "s(name, value)",
      views);
}

void set_part(pg::Session& session, std::int64_t first, std::int64_t last) {
  session.execute(
      "SELECT pg_catalog.set_config('weir.chunk_first', $1::bigint::text, true), "
      "pg_catalog.set_config('weir.chunk_last', $2::bigint::text, true)",
      first, last);
}

void set_lane(pg::Session& session, const LanePart& lane) {
  session.execute(
      "SELECT pg_catalog.set_config('weir.chunk_lane', $1::bigint::text, true), "
      "pg_catalog.set_config('weir.chunk_lanes', $2::bigint::text, true)",
      std::int64_t{lane.lane}, std::int64_t{lane.lanes});
}

void set_span(pg::Session& session, const Place& past, const Place& until) {
  session.execute(
      "SELECT pg_catalog.set_config('weir.chunk_past_xid', $1::bigint::text, true), "
      "pg_catalog.set_config('weir.chunk_past_id', $2::bigint::text, true), "
      "pg_catalog.set_config('weir.chunk_until_xid', $3::bigint::text, true), "
      "pg_catalog.set_config('weir.chunk_until_id', $4::bigint::text, true)",
      past.xid, past.event, until.xid, until.event);
}

}  // namespace

SqlDoer::SqlDoer(const StreamSql& sql, Options options)
    : sql_(sql),
      script_(work::user_script(options.sql, options.search_path)),
      mark_(fmt::format("weir:{:016x}", fnv1a(sql.view()))),
      lane_mark_(fmt::format("weir:{:016x}", fnv1a(sql.lane_view()))) {}

/// Once for a session. Asked for each time, because the transaction that made it may have been rolled back,
/// and because a pooler's session may have that of another stream.
void SqlDoer::make_view(pg::Session& session, bool of_lane) const {
  const std::string& mark = of_lane ? lane_mark_ : mark_;
  const pg::Result found = session.execute(
      "SELECT pg_catalog.obj_description(pg_catalog.to_regclass('pg_temp.weir_chunk'), 'pg_class') = "
      "$1::text",
      mark);
  if (found[0].get<std::optional<bool>>(0).value_or(false)) return;
  session.execute_script("DROP VIEW IF EXISTS pg_temp.weir_chunk; " +
                         (of_lane ? sql_.lane_view() : sql_.view()) +
                         "; COMMENT ON VIEW pg_temp.weir_chunk IS " + pg::quote_literal(mark));
}

std::size_t SqlDoer::work(pg::Session& session, const GroupWork& work, Failures& failures,
                          const std::stop_token& stop) {
  make_view(session, false);
  set_bounds(session, work);
  std::string error;
  if (!try_part(session, kFirst, kLast, error))
    find_failures(session, work, failures, std::move(error), stop);
  if (!session.keeps_state()) session.execute("DROP VIEW pg_temp.weir_chunk");
  return static_cast<std::size_t>(work.size());
}

void SqlDoer::work_in_order(pg::Session& session, const GroupWork& work, LaneRun& run,
                            const std::stop_token& stop) {
  const pg::Result counted =
      session.execute(fmt::format("SELECT pg_catalog.count(*) FROM ({}) e", sql_.select(work, "1 AS one")));
  const auto events = counted[0].get<std::int64_t>(0);
  if (events == 0) return;
  make_view(session, true);
  set_bounds(session, work);
  set_part(session, kFirst, kLast);
  set_lane(session, *work.lane);
  std::string error;
  if (try_span(session, work.lane->after.value_or(Place{0, kFirst}), {kLast, kLast}, error)) {
    run.all_done(events);
  } else {
    find_first_failure(session, work, run, std::move(error), stop);
  }
  if (!session.keeps_state()) session.execute("DROP VIEW pg_temp.weir_chunk");
}

std::vector<Place> SqlDoer::places_of(pg::Session& session, const GroupWork& work) const {
  std::vector<Place> places;
  for (const pg::Row row : session.execute(
           fmt::format("SELECT xid::text::bigint, id::bigint FROM ({}) e ORDER BY xid, id",
                       sql_.select(work, fmt::format("{} AS xid, {} AS id", sql_.xid(), sql_.id())))))
    places.push_back({row.get<std::int64_t>(0), row.get<std::int64_t>(1)});
  return places;
}

/// All of them together have failed: parts come in their order, so that what stands is what is before the
/// first one that is to blame. Behind one that is dead it goes on.
void SqlDoer::find_first_failure(pg::Session& session, const GroupWork& work, LaneRun& run, std::string error,
                                 const std::stop_token& stop) {
  const std::vector<Place> places = places_of(session, work);
  const auto before = [&](std::size_t index) {
    return index == 0 ? work.lane->after.value_or(Place{0, kFirst}) : places[index - 1];
  };
  work::Bisection bisection(places.size(), places.size());
  for (bool first = true; const auto part = bisection.next(); first = false) {
    if (stop.stop_requested()) return;
    const bool good = !first && try_span(session, before(part->begin), places[part->end - 1], error);
    if (good) {
      bisection.succeeded();
      for (std::size_t i = part->begin; i < part->end; ++i) run.settle(places[i], work::Outcome::done());
    } else if (bisection.failed() && !run.settle(places[part->begin], work::Outcome::failed(error))) {
      return;
    }
  }
}

bool SqlDoer::try_part(pg::Session& session, std::int64_t first, std::int64_t last, std::string& error) {
  return try_it(
      session, [&] { set_part(session, first, last); }, error);
}

bool SqlDoer::try_span(pg::Session& session, const Place& past, const Place& until, std::string& error) {
  return try_it(
      session, [&] { set_span(session, past, until); }, error);
}

bool SqlDoer::try_it(pg::Session& session, const std::function<void()>& set, std::string& error) {
  // The part before has made them immediate.
  session.execute_script("SAVEPOINT weir_part; SET CONSTRAINTS ALL DEFERRED");
  try {
    set();
    session.execute_script(script_);
    // What would fail at COMMIT is to fail here, where it can be told whose it is.
    session.execute_script("SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT weir_part");
    return true;
  } catch (const pg::Error& failure) {
    if (!work::blames_an_item(session, failure)) throw;
    error = failure.what();
    session.execute_script("ROLLBACK TO SAVEPOINT weir_part; RELEASE SAVEPOINT weir_part");
    return false;
  }
}

void SqlDoer::find_failures(pg::Session& session, const GroupWork& work, Failures& failures,
                            std::string error, const std::stop_token& stop) {
  std::vector<std::int64_t> numbers;
  const std::string all = sql_.select(work, sql_.number_of(work) + " AS number");
  for (const pg::Row row :
       session.execute(fmt::format("SELECT DISTINCT number::bigint FROM ({}) e ORDER BY 1", all))) {
    numbers.push_back(row.get<std::int64_t>(0));
  }
  work::Bisection bisection(numbers.size());
  for (bool first = true; const auto part = bisection.next(); first = false) {
    if (stop.stop_requested()) return;
    // All of them together have failed already.
    const bool good = !first && try_part(session, numbers[part->begin], numbers[part->end - 1], error);
    if (good) {
      bisection.succeeded();
    } else if (bisection.failed()) {
      const std::int64_t bad = numbers[part->begin];
      failures.add(bad, work::Outcome::failed(error), work.failed(bad) + 1);
    }
  }
  for (const auto& untried : bisection.untried()) {
    for (std::size_t i = untried.begin; i < untried.end; ++i) {
      failures.put_off(numbers[i], "not tried: too many others failed: " + error,
                       work.failed(numbers[i]) + 1);
    }
  }
}

}  // namespace weir::stream
