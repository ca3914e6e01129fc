#include "work/sql_handler.h"

#include <array>
#include <iterator>
#include <optional>

#include <fmt/format.h>

#include "base/log.h"
#include "pg/identifier.h"
#include "pg/row.h"
#include "pg/session.h"
#include "pg/transaction.h"
#include "work/bisection.h"
#include "work/fault.h"
#include "work/run_watch.h"
#include "work/user_script.h"

namespace weir::work {
namespace {

using pg::JsonView;

/// Larger payloads go alone, as a parameter that is not copied on its way.
constexpr std::size_t kSmallPayload = std::size_t{1} << 20U;
/// Of payloads in one INSERT.
constexpr std::size_t kInsertBytes = std::size_t{8} << 20U;

// No named queries: the relation has the caller's name, and the rest of the text is the user's.

constexpr std::string_view kColumns =
    "(id, queue, kind, payload, attempt, max_attempts, error, created_at, deadline)";

template <class T>
using Column = std::vector<std::optional<T>>;

std::optional<std::string_view> or_null(std::string_view text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

}  // namespace

SqlHandler::SqlHandler(const SqlOptions& options)
    : sql_(options.sql),
      relation_name_(options.relation),
      relation_("pg_temp." + pg::quote_identifier(options.relation)),
      script_(user_script(options.sql, options.search_path)),
      timeout_(options.timeout) {}

void SqlHandler::run(Batch& batch) {
  if (batch.session() == nullptr) {
    throw Error(ExitCode::failed, "SQL handlers need the transactional mode: there is no session for them");
  }
  pg::Session& session = *batch.session();
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < batch.items().size(); ++i) {
    if (batch.outcomes()[i].is_open()) open.push_back(i);
  }
  if (open.empty()) return;

  const bool by_the_batch = batch.timeout() && (!timeout_ || *batch.timeout() < *timeout_);
  const std::optional<Duration> timeout = by_the_batch ? batch.timeout() : timeout_;
  const std::string script = bounded_script(script_, timeout);
  SteadyTime began = steady_now();
  std::optional<bool> works_without;
  int times = 1;  // in a row, of a single item
  Bisection bisection(open.size());
  while (const auto range = bisection.next()) {
    if (batch.stop().stop_requested()) return;
    std::vector<const Item*> items;
    for (std::size_t i = range->begin; i < range->end; ++i) items.push_back(&batch.items()[open[i]]);
    make_relation(session);
    session.execute_script("SAVEPOINT weir_items; DELETE FROM " + relation_);
    try {
      fill(session, items);
      began = steady_now();
      session.execute_script(script);
    } catch (const pg::Error& error) {
      const bool ran_over = by_the_batch && is_of_limit(error, steady_now() - began, timeout);
      const Blame blame = blame_for({.kind = error.kind(),
                                     .sqlstate = error.sqlstate(),
                                     .session_lives = session.is_open(),
                                     .stopping = batch.stop().stop_requested(),
                                     .alone = range->size() == 1,
                                     .times = times});
      if (blame == Blame::nobody) throw;
      session.execute_script("ROLLBACK TO SAVEPOINT weir_items; RELEASE SAVEPOINT weir_items");
      if (!may_be_fault_of_an_item(error.sqlstate())) {
        if (!works_without) works_without = works_without_items(session, script);
        if (!*works_without) throw;
      }
      times = blame == Blame::again ? times + 1 : 1;
      if (blame == Blame::again) continue;
      if (bisection.failed()) {
        const std::string_view reason = ran_over ? kRanOver : std::string_view(error.what());
        batch.settle(open[range->begin], Outcome::failed(fmt::format("{} ({})", reason, error.sqlstate())));
      }
      continue;
    }
    session.execute("RELEASE SAVEPOINT weir_items");
    times = 1;
    bisection.succeeded();
    for (std::size_t i = range->begin; i < range->end; ++i) batch.settle(open[i], Outcome::done());
  }

  std::size_t untried = 0;
  for (const Bisection::Range range : bisection.untried()) {
    untried += range.size();
    for (std::size_t i = range.begin; i < range.end; ++i) batch.settle(open[i], Outcome::returned());
  }
  if (untried > 0) {
    log::warn("too many items of a batch failed one by one; the others are handed back",
              {{"items", open.size()}, {"handed_back", untried}});
  }
}

/// Once for a session: a table for each batch would bloat the catalog. Asked for each time, because the
/// transaction that made it may have been rolled back, or the session cleaned. Behind a pooler for each
/// transaction: it would be left to somebody else.
void SqlHandler::make_relation(pg::Session& session) const {
  const pg::Result found = session.execute("SELECT pg_catalog.to_regclass($1) IS NOT NULL", relation_);
  if (found[0].get<bool>(0)) return;
  session.execute(
      fmt::format("CREATE TEMPORARY TABLE {} (id bigint NOT NULL, queue text NOT NULL, kind text NOT NULL, "
                  "payload jsonb, attempt integer NOT NULL, max_attempts integer NOT NULL, error text, "
                  "created_at timestamptz, deadline timestamptz) ON COMMIT {}",
                  relation_, session.keeps_state() ? "DELETE ROWS" : "DROP"));
}

/// Of a missing table, say: SQL that names it itself fails without any item, too, and none is to pay for
/// that.
bool SqlHandler::works_without_items(pg::Session& session, const std::string& script) const {
  session.execute_script("SAVEPOINT weir_items; DELETE FROM " + relation_);
  bool works = true;
  try {
    session.execute_script(script);
  } catch (const pg::Error& error) {
    if (!session.is_open() || fault_of(error.kind(), error.sqlstate()) == Fault::nobody) throw;
    // It may be for want of something to work on, such as the sum of nothing.
    works = may_be_fault_of_an_item(error.sqlstate());
  }
  session.execute_script("ROLLBACK TO SAVEPOINT weir_items; RELEASE SAVEPOINT weir_items");
  return works;
}

void SqlHandler::check(pg::Session& session) const {
  pg::Transaction transaction(session);
  make_relation(session);
  try {
    session.execute_script(bounded_script(script_, timeout_));
  } catch (const pg::Error& error) {
    refuse_broken_script(
        session, sql_, error,
        fmt::format("The items are the rows of {} {}; other names are those that your psql finds, and COMMIT "
                    "has no place in it.",
                    relation_name_, kColumns));
  }
}

void SqlHandler::fill(pg::Session& session, const std::vector<const Item*>& items) const {
  const std::string one = fmt::format(
      "INSERT INTO {} {} VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, $7, $8, $9)", relation_, kColumns);
  std::vector<const Item*> some;
  std::size_t bytes = 0;
  const auto flush = [&] {
    if (!some.empty()) fill_small(session, some);
    some.clear();
    bytes = 0;
  };
  for (const Item* const item : items) {
    if (item->payload.size() > kSmallPayload) {
      session.execute(one, item->id, item->source, item->kind, item->payload, item->attempt,
                      item->max_attempts, or_null(item->error), item->created_at, item->deadline);
      continue;
    }
    some.push_back(item);
    bytes += item->payload.size();
    if (bytes > kInsertBytes) flush();
  }
  flush();
}

void SqlHandler::fill_small(pg::Session& session, const std::vector<const Item*>& items) const {
  std::vector<std::int64_t> ids;
  std::vector<std::string_view> queues;
  std::vector<std::string_view> kinds;
  Column<JsonView> payloads;
  std::vector<std::int32_t> attempts;
  std::vector<std::int32_t> max_attempts;
  Column<std::string_view> errors;
  Column<WallTime> created;
  Column<WallTime> deadlines;
  for (const Item* const item : items) {
    ids.push_back(item->id);
    queues.push_back(item->source);
    kinds.push_back(item->kind);
    payloads.push_back(item->payload.empty() ? std::nullopt : std::optional(JsonView{item->payload}));
    attempts.push_back(item->attempt);
    max_attempts.push_back(item->max_attempts);
    errors.push_back(or_null(item->error));
    created.push_back(item->created_at);
    deadlines.push_back(item->deadline);
  }
  constexpr std::array kTypes{"bigint",  "text", "text",        "jsonb",      "integer",
                              "integer", "text", "timestamptz", "timestamptz"};
  std::string columns;
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    fmt::format_to(std::back_inserter(columns), "{}pg_catalog.unnest(${}::{}[])", i == 0 ? "" : ", ", i + 1,
                   kTypes.at(i));
  }
  session.execute(fmt::format("INSERT INTO {} {} SELECT * FROM ROWS FROM ({})", relation_, kColumns, columns),
                  ids, queues, kinds, payloads, attempts, max_attempts, errors, created, deadlines);
}

}  // namespace weir::work
