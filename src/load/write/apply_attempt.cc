#include "load/write/apply_attempt.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "load/value/widen.h"
#include "load/write/patience.h"
#include "load/write/run.h"
#include "load/write/target_lock.h"
#include "pg/identifier.h"
#include "schema/queries/load_stages.h"
#include "schema/queries/load_targets.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

bool replaces_all(Mode mode) noexcept {
  return mode == Mode::refresh || mode == Mode::window || mode == Mode::scd2;
}

}  // namespace

bool is_of_a_row(const pg::Error& error) {
  const std::string& state = error.sqlstate();
  return error.kind() == pg::ErrorKind::server && (state.starts_with("22") || state.starts_with("23") ||
                                                   state.starts_with("P0") || state.starts_with("44"));
}

std::string_view detail_of(const pg::Error& error) {
  std::string_view detail = error.info().detail;
  if (detail.ends_with('.')) detail.remove_suffix(1);
  return detail;
}

std::string reason_of(const pg::Error& error) {
  const std::string_view detail = detail_of(error);
  return fmt::format("{}{}{}", error.info().message, detail.empty() ? "" : ": ", detail);
}

ApplyAttempt::ApplyAttempt(pg::Session& session, const Target& target, const LoadSpec& spec,
                           const Stage::Sealed& stage, const std::optional<StateChange>& state,
                           const ApplyOptions& options, bool withhold_deletes)
    : session_(session),
      target_(target),
      spec_(spec),
      stage_(stage),
      state_(state),
      options_(options),
      sql_(target_, spec, stage.table),
      applied_(Applied::behind(options)),
      withhold_deletes_(withhold_deletes) {}

void ApplyAttempt::tell(ApplyEvent::Kind kind, std::string text) const {
  if (options_.on_event) options_.on_event({.kind = kind, .text = std::move(text)});
}

std::int64_t ApplyAttempt::number(const std::string& sql) {
  return session_.execute(sql)[0].get<std::int64_t>(0);
}

void ApplyAttempt::run(pg::Transaction& transaction, const ApplyMeter& meter) {
  lock(transaction);
  require_same_table();
  require_whole_stage();
  if (state_) advance_state(session_, *state_, stage_.run, stage_.rows);
  tell(ApplyEvent::Kind::locked);
  screen();
  tell(ApplyEvent::Kind::checked);
  if (spec_.mode == Mode::append) {
    append();
  } else {
    write_difference();
  }
  record(meter);
}

void ApplyAttempt::require_same_table() {
  require_same_target();
  require_same_columns();
}

std::int64_t ApplyAttempt::check() {
  require_same_table();
  require_whole_stage();
  screen();
  tell(ApplyEvent::Kind::checked);
  return number(sql_.count_rows());
}

void ApplyAttempt::lock(pg::Transaction& transaction) {
  const bool limited = options_.statement_timeout > Duration::zero();
  transaction.set_local("statement_timeout", limited ? limit_of(options_.statement_timeout) : "0");
  transaction.set_local("idle_in_transaction_session_timeout", "60s");
  if (!options_.work_mem.empty()) transaction.set_local("work_mem", options_.work_mem);
  applied_.longest_wait =
      std::max(applied_.longest_wait, lock_target(session_, target_, options_, TargetLock::transaction));
  transaction.set_local("lock_timeout", limit_of(options_.lock_timeout));
  // Not now(): that is older than what the load has written that this one waited for.
  session_.execute(LoadSql::set_history_time());
}

void ApplyAttempt::require_same_target() {
  const pg::Result now = session_.execute("SELECT coalesce(to_regclass($1)::oid::int8, 0)", target_.sql());
  if (now[0].get<std::int64_t>(0) != std::int64_t{target_.oid}) refuse_moved(target_);
}

/// Somebody may have made a column wider, and then its values are cast; never narrower, where they would be
/// rounded.
void ApplyAttempt::require_same_columns() {
  std::vector<ColumnType> types;
  const auto now = session_.run<sql::LoadColumns>(std::int64_t{target_.oid});
  bool same = true;
  for (const std::string& name : spec_.columns) {
    const auto old = std::find_if(target_.columns.begin(), target_.columns.end(),
                                  [&](const TargetColumn& column) { return column.name == name; });
    std::optional<ColumnType> type;
    for (const auto row : now) {
      if (row.name == name && !row.generated)
        type = type_of(static_cast<pg::Oid>(row.type_id), row.modifier, std::string(row.type));
    }
    if (type && *type == old->type) continue;
    if (!type || !can_hold(*type, old->type)) refuse_moved(target_);
    same = false;
    old->type = *type;
    old->exact = false;
  }
  if (!same) sql_ = LoadSql(target_, spec_, stage_.table, LoadSql::Casts::all);
}

void ApplyAttempt::require_unchanged() {
  const std::vector<TargetColumn> before = target_.columns;
  require_same_table();
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (!(before[i].type == target_.columns[i].type)) throw Interference{"the type of a column was changed"};
  }
}

void ApplyAttempt::require_whole_stage() {
  // From here on nobody empties it, also where the session was lost whose lock says that it is taken.
  session_.execute("LOCK TABLE " + stage_.table.sql + " IN ROW EXCLUSIVE MODE");
  const auto answer = session_.run<sql::LoadStageTotals>(stage_.run);
  const auto totals = answer.one();
  if (totals.chunks == stage_.chunks && totals.rows == stage_.rows) return;
  throw Error(ExitCode::failed,
              fmt::format("the stage of load {} holds {} of {} rows: the server was restarted after a crash",
                          stage_.run, totals.rows, stage_.rows),
              "Run the load again: the target is as it was.");
}

std::int64_t ApplyAttempt::reject(const std::string& sql) {
  const std::int64_t count = session_.execute(sql, stage_.run).affected();
  applied_.rejected += count;
  return count;
}

/// The columns with values that the server would refuse, or would cut.
std::vector<std::size_t> ApplyAttempt::misfit_columns() {
  const std::vector<std::size_t> casts = sql_.cast_columns();
  session_.execute("SAVEPOINT weir_casts");
  try {
    const pg::Result cuts = session_.execute(sql_.try_casts());
    session_.execute("RELEASE SAVEPOINT weir_casts");
    std::vector<std::size_t> found;
    int k = 0;
    for (const std::size_t i : casts) {
      if (cuts[0].get<bool>(k++)) found.push_back(i);
    }
    return found;
  } catch (const pg::Error& error) {
    if (!is_of_a_row(error)) throw;
    session_.execute("ROLLBACK TO SAVEPOINT weir_casts");
    session_.execute("RELEASE SAVEPOINT weir_casts");
    return casts;
  }
}

void ApplyAttempt::screen_casts() {
  if (sql_.cast_columns().empty()) return;
  for (const std::size_t i : misfit_columns()) {
    session_.execute(sql_.misfit_function(i));
    const std::int64_t count = reject(sql_.reject_misfits(i));
    const auto& key = sql_.key();
    if (std::find(key.begin(), key.end(), i) != key.end())
      unknown_keys_ += count + session_.execute(sql_.forget_misfit_keys(i)).affected();
    session_.execute(fmt::format("DROP FUNCTION pg_temp.weir_misfit_{}(text)", i));
  }
}

/// What the server would refuse is found in the stage, where it disturbs nobody.
void ApplyAttempt::screen() {
  session_.run<sql::LoadKeepStageRejects>(stage_.run);
  applied_.rejected = stage_.rejects;
  const auto unknown = session_.run<sql::LoadUnknownKeys>(stage_.run);
  unknown_keys_ = unknown.one().rejects;
  screen_casts();
  if (const auto nulls = sql_.reject_nulls()) reject(*nulls);
  if (const auto outside = sql_.reject_outside_window()) reject(*outside);
  for (const ForeignKey& key : target_.foreign_keys) {
    bool given = true;
    for (const std::string& column : key.columns)
      given = given && std::find(spec_.columns.begin(), spec_.columns.end(), column) != spec_.columns.end();
    if (given) reject(sql_.reject_orphans(key));
  }
  if (sql_.has_key() && spec_.mode != Mode::append) {
    if (spec_.reject_duplicates) {
      applied_.duplicates = reject(sql_.reject_duplicates());
    } else {
      applied_.duplicates = session_.execute(sql_.drop_duplicates()).affected();
    }
  }
  judge_rejects();
  if (applied_.rejected == 0) return;
  if (!sql_.has_key()) {
    unknown_keys_ = applied_.rejected;
  } else if (const auto lost = sql_.count_unknown_keys()) {
    unknown_keys_ += number(*lost);
  }
}

void ApplyAttempt::judge_rejects() {
  const std::int64_t read = stage_.rows + stage_.rejects;
  if (spec_.rejects.allows(applied_.rejected, read)) return;
  const pg::Result first = session_.execute(
      "SELECT concat_ws(', ', nullif(file, ''), 'line ' || line, 'column ' || nullif(column_name, '')) || ': "
      "' || "
      "reason FROM weir.load_reject WHERE run = $1 ORDER BY file, line LIMIT 1",
      stage_.run);
  const std::string example = first.rows() == 0 ? "" : printable(first[0].get<std::string>(0));
  throw Error(
      ExitCode::refused,
      fmt::format("{} of {} records cannot be loaded, and {}; the first: {}", human_count(applied_.rejected),
                  human_count(read), spec_.rejects.text(), example),
      fmt::format(
          "Nothing was written. Mend them, or allow them; there may be more: at least --max-rejects {}",
          applied_.rejected));
}

void ApplyAttempt::append() {
  rows_ = inserts_ = number(sql_.count_rows());
  tell(ApplyEvent::Kind::writing, "insert");
  session_.execute("SAVEPOINT weir_append");
  try {
    applied_.inserted = session_.execute(sql_.append()).affected();
    session_.execute("RELEASE SAVEPOINT weir_append");
  } catch (const pg::Error& error) {
    if (!is_of_a_row(error) && !is_of_policy(error)) throw;
    session_.execute("ROLLBACK TO SAVEPOINT weir_append");
    session_.execute(sql_.diff_of_append());
    last_ = inserts_;
    applied_.inserted = write({sql_.insert()}).front();
    judge_rejects();
  }
}

void ApplyAttempt::take_difference() {
  rows_ = number(sql_.count_rows());
  if (applied_.rejected == 0) guard_empty();
  session_.execute(sql_.diff());
  session_.execute("ANALYZE pg_temp.weir_diff");
  if (applied_.rejected > 0 || withhold_deletes_) withhold();
  const pg::Result counts = session_.execute(sql_.count_diff());
  deletes_ = counts[0].get<std::int64_t>(0);
  updates_ = counts[0].get<std::int64_t>(1);
  inserts_ = counts[0].get<std::int64_t>(2);
  last_ = counts[0].get<std::int64_t>(3);
  changed_ = counts[0].get<std::vector<bool>>(4);
  applied_.unchanged = rows_ - inserts_ - updates_;
  applied_.rows_before = rows_ - inserts_ + deletes_ + applied_.withheld_deletes;
  tell(ApplyEvent::Kind::diffed,
       fmt::format("{} to delete, {} to update, {} to insert", deletes_, updates_, inserts_));
  // All that was refused may be all that there is, and then nothing goes.
  if (deletes_ > 0) guard_empty();
  guard();
  if (spec_.mode != Mode::scd2) guard_fixed();
}

/// No UPDATE takes another value for it.
void ApplyAttempt::guard_fixed() {
  for (std::size_t i = 0; i < spec_.columns.size(); ++i) {
    const TargetColumn* const column = target_.column(spec_.columns[i]);
    if (!changed_[i] || column == nullptr || column->identity != 'a') continue;
    const std::int64_t rows = number(LoadSql::count_changed(i));
    if (rows == 0) continue;  // those that are inserted
    throw Error(
        ExitCode::refused,
        fmt::format("column {} of {} is GENERATED ALWAYS AS IDENTITY, and {} row{} would have to get another "
                    "value there, which PostgreSQL does not let happen",
                    printable(column->name), target_.label(), human_count(rows), rows == 1 ? "" : "s"),
        fmt::format(
            "Nothing was written. Keep the table's: --not-compared {0}; or leave the column out; or let it "
            "be given: ALTER TABLE {1} ALTER COLUMN {2} SET GENERATED BY DEFAULT;",
            printable(column->name), target_.sql(), pg::quote_identifier(column->name)));
  }
}

void ApplyAttempt::guard_empty() const {
  if (rows_ > 0 || !replaces_all(spec_.mode) || spec_.guard.allow_empty) return;
  throw Error(ExitCode::refused,
              fmt::format("the source has no rows, and {} would be emptied by it", target_.label()),
              "Look at the source. If it is right: --allow-empty.");
}

/// A refused record never costs the good old row of its key; where its key is unknown, no row at all.
void ApplyAttempt::withhold() {
  if (withhold_deletes_ || unknown_keys_ > 0) {
    applied_.withheld_deletes = session_.execute(LoadSql::withhold_all()).affected();
  } else {
    applied_.withheld_deletes = session_.execute(sql_.withhold_rejected_keys()).affected();
  }
}

void ApplyAttempt::guard() const {
  if (!replaces_all(spec_.mode) || spec_.guard.allow_mass_delete || rows_ == 0) return;
  // Of whole rows a change is a row less and a row more.
  const std::int64_t lost = sql_.has_key() ? deletes_ : std::max<std::int64_t>(0, deletes_ - inserts_);
  const double share = spec_.guard.max_delete_share * static_cast<double>(applied_.rows_before);
  if (static_cast<double>(lost) <= share) return;
  throw Error(
      ExitCode::refused,
      fmt::format("the load would {} {} of {} rows of {} ({:.0f} %, and {:.0f} % are allowed), update {} and "
                  "insert {}",
                  spec_.mode == Mode::scd2 ? "close" : "delete", human_count(lost),
                  human_count(applied_.rows_before), target_.label(),
                  100.0 * static_cast<double>(lost) / static_cast<double>(applied_.rows_before),
                  100.0 * spec_.guard.max_delete_share, human_count(updates_), human_count(inserts_)),
      "Nothing was written. If the source is complete: --allow-mass-delete.");
}

void ApplyAttempt::expect(std::int64_t affected, std::int64_t expected, const char* what) const {
  if (affected != expected) throw Interference{fmt::format("{} of {} rows to {}", affected, expected, what)};
}

// Deletes first: a new row may have a unique value that an old one still has.
void ApplyAttempt::write_difference() {
  take_difference();
  const bool history = spec_.mode == Mode::scd2;
  if (history && deletes_ + updates_ > 0 && number(sql_.count_backward()) > 0) {
    throw Error(
        ExitCode::refused,
        fmt::format("versions of {} begin at or after the time at which they would end", target_.label()),
        "Nothing was written. Say a later time for this load: --at");
  }
  if (deletes_ > 0) {
    tell(ApplyEvent::Kind::writing, history ? "close" : "delete");
    const std::int64_t gone = history ? session_.execute(sql_.close_removed()).affected() : remove();
    expect(gone, deletes_, "delete");
    (history ? applied_.closed : applied_.deleted) = gone;
  }
  const std::int64_t refused_before = refused_rows_;
  if (history) {
    tell(ApplyEvent::Kind::writing, "versions");
    const std::vector<std::int64_t> affected = write({sql_.close_changed(), sql_.open_versions()});
    // Each refused row is one version that was not opened and perhaps one that was not closed.
    if (refused_rows_ == refused_before) {
      expect(affected[0], updates_, "close");
      expect(affected[1], updates_ + inserts_, "open");
    }
    applied_.closed += affected[0];
    applied_.inserted = affected[1];
  } else {
    if (updates_ > 0) {
      tell(ApplyEvent::Kind::writing, "update");
      applied_.updated = write({sql_.update(changed_)}).front();
      expect(applied_.updated + refused_rows_ - refused_before, updates_, "update");
    }
    if (inserts_ > 0) {
      tell(ApplyEvent::Kind::writing, "insert");
      applied_.inserted = write({sql_.insert()}).front();
    }
  }
  if (refused_rows_ > refused_before && !sql_.has_key() && deletes_ > 0) must_withhold_ = true;
  judge_rejects();
}

/// Rights were looked at before; what is missing now is that a policy lets the row in.
bool ApplyAttempt::is_of_policy(const pg::Error& error) const {
  return target_.row_security && error.sqlstate() == "42501";
}

std::int64_t ApplyAttempt::remove() {
  try {
    return session_.execute(sql_.remove()).affected();
  } catch (const pg::Error& error) {
    if (error.sqlstate() != "23503") throw;
    throw Error(
        ExitCode::refused,
        fmt::format("rows of {} that the source has not are referred to by others: {}", target_.label(),
                    reason_of(error)),
        "Nothing was written. Load the table that refers to them first, or use --mode upsert, which deletes "
        "nothing.");
  }
}

/// Answers how many rows each statement wrote.
std::vector<std::int64_t> ApplyAttempt::write(const std::vector<std::string>& statements) {
  std::vector<std::int64_t> affected(statements.size(), 0);
  if (last_ > 0) write_range(statements, 1, last_, affected);
  return affected;
}

/// Where the server refuses a row, halves find it: the good ones are written, and the bad one is known by its
/// line.
void ApplyAttempt::write_range(const std::vector<std::string>& statements, std::int64_t low,
                               std::int64_t high, std::vector<std::int64_t>& affected) {
  session_.execute("SAVEPOINT weir_range");
  try {
    std::vector<std::int64_t> counts;
    for (const std::string& sql : statements) counts.push_back(session_.execute(sql, low, high).affected());
    session_.execute("RELEASE SAVEPOINT weir_range");
    for (std::size_t i = 0; i < counts.size(); ++i) affected[i] += counts[i];
    return;
  } catch (const pg::Error& error) {
    if (!is_of_a_row(error) && !is_of_policy(error)) throw;
    session_.execute("ROLLBACK TO SAVEPOINT weir_range");
    session_.execute("RELEASE SAVEPOINT weir_range");
    if (low == high) {
      refuse_row(low, error);
      return;
    }
  }
  const std::int64_t middle = low + (high - low) / 2;
  write_range(statements, low, middle, affected);
  write_range(statements, middle + 1, high, affected);
}

void ApplyAttempt::refuse_row(std::int64_t row, const pg::Error& error) {
  const std::string& state = error.sqlstate();
  // A constraint is no column; it is in the reason.
  session_.execute(sql_.reject_row(), stage_.run, row, "", state, reason_of(error));
  ++applied_.rejected;
  ++refused_rows_;
  judge_rejects();
}

void ApplyAttempt::record(const ApplyMeter& meter) {
  // Before it was locked by what was written, it may have become another one after all: the next attempt sees
  // which.
  require_unchanged();
  const auto modes = session_.run<sql::LoadTargetLocks>(std::int64_t{target_.oid});
  for (const auto row : modes)
    applied_.strongest_lock = std::max(applied_.strongest_lock, parse_lock_mode(row.mode));
  applied_.dead_rows = applied_.deleted + applied_.updated + applied_.closed;
  applied_.waiting.add(look_who_waits(session_));
  meter.read(session_, applied_);
  finish_run(session_, stage_.run, applied_.rejected, applied_.to_json(options_.losses));
}

}  // namespace weir::load
