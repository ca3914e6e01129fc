#include "load/write/load_sql.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "pg/identifier.h"

namespace weir::load {
namespace {

using pg::quote_identifier;
using pg::quote_literal;

template <class Part>
std::string joined(std::size_t count, std::string_view between, Part part) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += between;
    text += part(i);
  }
  return text;
}

/// Values of any length: one that does not change is better not written again.
bool is_long(Base base) noexcept {
  return base == Base::text || base == Base::varchar || base == Base::bytea || base == Base::json ||
         base == Base::jsonb || base == Base::other;
}

}  // namespace

LoadSql::LoadSql(const Target& target, const LoadSpec& spec, const StageTable& stage, Casts casts)
    : target_(&target),
      spec_(&spec),
      stage_(stage),
      casts_(casts),
      line_("s." + quote_identifier(stage.line)),
      part_("s." + quote_identifier(stage.part)) {
  for (const std::string& name : spec.columns) {
    const TargetColumn* const found = target.column(name);
    if (found == nullptr)
      throw Error(ExitCode::definition, fmt::format("{} has no column {}", target.label(), printable(name)));
    columns_.push_back(found);
  }
  for (const std::string& name : spec.key) {
    const auto found = std::find(spec.columns.begin(), spec.columns.end(), name);
    if (found == spec.columns.end()) {
      throw Error(ExitCode::definition,
                  fmt::format("key column {} is not among the columns of the source", printable(name)));
    }
    key_.push_back(static_cast<std::size_t>(found - spec.columns.begin()));
    plain_key_ = plain_key_ && columns_[key_.back()]->not_null;
  }
}

bool LoadSql::is_key(std::size_t i) const { return std::find(key_.begin(), key_.end(), i) != key_.end(); }

bool LoadSql::is_compared(std::size_t i) const {
  const auto& excluded = spec_->not_compared;
  return !is_key(i) && std::find(excluded.begin(), excluded.end(), spec_->columns[i]) == excluded.end();
}

std::string LoadSql::column_list() const {
  return joined(columns_.size(), ", ", [&](std::size_t i) { return quote_identifier(spec_->columns[i]); });
}

std::string LoadSql::given(std::size_t i) const {
  const std::string name = "s." + quote_identifier(spec_->columns[i]);
  return column(i).type.base == Base::other || casts_ == Casts::all
             ? fmt::format("{}::{}", name, column(i).type.sql)
             : name;
}

std::string LoadSql::given_list() const {
  return joined(columns_.size(), ", ", [&](std::size_t i) { return given(i); });
}

std::string LoadSql::compared(const std::string& value, std::size_t i) const {
  return column(i).comparable ? value : value + "::text";
}

std::vector<std::size_t> LoadSql::cast_columns() const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (column(i).type.base == Base::other) found.push_back(i);
  }
  return found;
}

std::string LoadSql::key_list() const {
  return joined(key_.size(), ", ", [&](std::size_t k) { return given(key_[k]); });
}

// Looks like: the rows get their mark, and the list of rejects its rows, in one statement. $1 is the run.
std::string LoadSql::rejecting(const std::string& where, const std::string& name, std::string_view sqlstate,
                               const std::string& reason, bool keep_key) const {
  const std::string change =
      keep_key ? fmt::format("UPDATE {} s SET {} = -1 - {}", stage_.sql, quote_identifier(stage_.part), part_)
               : fmt::format("DELETE FROM {} s", stage_.sql);
  const std::string part = keep_key ? "-1 - " + part_ : part_;
  return fmt::format(
      "WITH weir_bad AS ({} WHERE {} >= 0 AND ({}) RETURNING {} AS line, {} AS part, {} AS "
      "name, {} AS reason, convert_to((to_jsonb(s) - ARRAY[{}, {}])::text, 'UTF8') AS raw) "
      "INSERT INTO weir.load_reject (run, line, file, column_name, sqlstate, reason, raw) "
      "SELECT $1::int8, b.line, coalesce((SELECT c.position->>'file' FROM weir.load_chunk c WHERE c.run = "
      "$1::int8 AND c.chunk = b.part), ''), b.name, '{}', b.reason, b.raw FROM weir_bad b",
      change, part_, where, line_, part, name, reason, quote_literal(stage_.line), quote_literal(stage_.part),
      sqlstate);
}

std::optional<std::string> LoadSql::reject_nulls() const {
  std::string where;
  std::string name = "CASE";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (!column(i).not_null) continue;
    const std::string is_null = "s." + quote_identifier(spec_->columns[i]) + " IS NULL";
    where += (where.empty() ? "" : " OR ") + is_null;
    name += " WHEN " + is_null + " THEN " + quote_literal(spec_->columns[i]);
  }
  if (where.empty()) return std::nullopt;
  return rejecting(where, name + " END", "23502", "'null, which the column does not allow'");
}

std::optional<std::string> LoadSql::reject_outside_window() const {
  if (!spec_->window) return std::nullopt;
  const Window& window = *spec_->window;
  const auto found = std::find(spec_->columns.begin(), spec_->columns.end(), window.column);
  if (found == spec_->columns.end()) return std::nullopt;
  const auto i = static_cast<std::size_t>(found - spec_->columns.begin());
  const std::string& type = column(i).type.sql;
  return rejecting(fmt::format("({0} >= {1}::{3} AND {0} < {2}::{3}) IS NOT TRUE", given(i),
                               quote_literal(window.from), quote_literal(window.to), type),
                   quote_literal(window.column), "22000",
                   quote_literal(fmt::format("outside of the window from {} to {}", window.from, window.to)));
}

std::string LoadSql::reject_orphans(const ForeignKey& key) const {
  std::string where;
  std::string on;
  for (std::size_t k = 0; k < key.columns.size(); ++k) {
    const auto at = std::find(spec_->columns.begin(), spec_->columns.end(), key.columns[k]);
    const std::string value = given(static_cast<std::size_t>(at - spec_->columns.begin()));
    where += value + " IS NOT NULL AND ";
    on += fmt::format("{}o.{} = {}", k == 0 ? "" : " AND ", quote_identifier(key.other_columns[k]), value);
  }
  return rejecting(fmt::format("{}NOT EXISTS (SELECT 1 FROM {} o WHERE {})", where, key.other, on),
                   quote_literal(key.columns.front()), "23503",
                   quote_literal(fmt::format("no such row in {} ({})", key.other, key.name)));
}

std::string LoadSql::drop_duplicates() const {
  return fmt::format(
      "DELETE FROM {} s USING (SELECT s.ctid AS id, row_number() OVER (PARTITION BY {} ORDER BY {} DESC, {} "
      "DESC) AS n{}) d WHERE s.ctid = d.id AND d.n > 1",
      stage_.sql, key_list(), part_, line_, from_stage());
}

std::string LoadSql::reject_duplicates() const {
  return rejecting(
      fmt::format(
          "s.ctid IN (SELECT d.id FROM (SELECT s.ctid AS id, row_number() OVER (PARTITION BY {} ORDER "
          "BY {} DESC, {} DESC) AS n{}) d WHERE d.n > 1)",
          key_list(), part_, line_, from_stage()),
      quote_literal(spec_->key.front()), "23505", "'its key comes again in a later record'", false);
}

std::string LoadSql::try_casts() const {
  const std::vector<std::size_t> casts = cast_columns();
  return fmt::format(
      "SELECT {}{}",
      joined(casts.size(), ", ", [&](std::size_t k) { return "count(" + given(casts[k]) + ")"; }),
      from_stage());
}

std::string LoadSql::misfit_function(std::size_t i) const {
  return fmt::format(
      "CREATE FUNCTION pg_temp.weir_misfit_{}(given text) RETURNS text LANGUAGE plpgsql AS {}", i,
      quote_literal(fmt::format("BEGIN PERFORM given::{}; RETURN NULL; EXCEPTION WHEN data_exception OR "
                                "integrity_constraint_violation OR syntax_error THEN RETURN SQLERRM; END",
                                column(i).type.sql)));
}

std::string LoadSql::reject_misfits(std::size_t i) const {
  const std::string call =
      fmt::format("pg_temp.weir_misfit_{}(s.{})", i, quote_identifier(spec_->columns[i]));
  return rejecting(call + " IS NOT NULL", quote_literal(spec_->columns[i]), "22P02", call, !is_key(i));
}

std::optional<std::string> LoadSql::count_unknown_keys() const {
  std::string where;
  for (const std::size_t i : key_) {
    if (column(i).not_null)
      where +=
          fmt::format("{}s.{} IS NULL", where.empty() ? "" : " OR ", quote_identifier(spec_->columns[i]));
  }
  if (where.empty()) return std::nullopt;
  return fmt::format("SELECT count(*) FROM {} s WHERE {} < 0 AND ({})", stage_.sql, part_, where);
}

std::string LoadSql::from_stage() const { return fmt::format(" FROM {} s WHERE {} >= 0", stage_.sql, part_); }

std::string LoadSql::count_rows() const { return "SELECT count(*)" + from_stage(); }

std::string LoadSql::count_lost() const {
  const std::string rows = fmt::format("SELECT count(*) FROM {} t{}", target_->sql(), scope());
  if (!has_key()) return fmt::format("SELECT ({}), 0::int8", rows);
  // Rows with a NULL in their key are left out: to count too few is no harm, apply() counts again.
  std::string present;
  std::string same;
  for (const std::size_t i : key_) {
    const std::string name = "t." + quote_identifier(spec_->columns[i]);
    present += name + " IS NOT NULL AND ";
    same += fmt::format("{}{} = {}", same.empty() ? "" : " AND ", name, given(i));
  }
  return fmt::format("SELECT ({}), ({}{} {}NOT EXISTS (SELECT 1 FROM {} s WHERE {}))", rows, rows,
                     scope().empty() ? " WHERE" : " AND", present, stage_.sql, same);
}

std::string LoadSql::scope() const {
  if (spec_->mode == Mode::scd2)
    return fmt::format(" WHERE t.{} IS NULL", quote_identifier(spec_->history.valid_to));
  if (!spec_->window) return {};
  const TargetColumn* const by = target_->column(spec_->window->column);
  const std::string type = by == nullptr ? "text" : by->type.sql;
  return fmt::format(" WHERE t.{0} >= {1}::{3} AND t.{0} < {2}::{3}", quote_identifier(spec_->window->column),
                     quote_literal(spec_->window->from), quote_literal(spec_->window->to), type);
}

// Records are equal where both have NULL, and PostgreSQL can merge-join them: NULLs in keys, and whole rows.
std::string LoadSql::record(std::string_view alias) const {
  const auto value = [&](std::size_t i) {
    const std::string plain =
        alias == "s" ? given(i) : fmt::format("{}.{}", alias, quote_identifier(spec_->columns[i]));
    return compared(plain, i);
  };
  if (has_key())
    return "ROW(" + joined(key_.size(), ", ", [&](std::size_t k) { return value(key_[k]); }) + ")";
  return "ROW(" + joined(columns_.size(), ", ", value) + ")";
}

std::string LoadSql::side(bool source) const {
  std::string sql = source ? fmt::format("SELECT {} AS weir_line, {} AS weir_part", line_, part_)
                           : "SELECT t.ctid AS weir_ctid, t.tableoid AS weir_tableoid";
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    sql += fmt::format(", {} AS c{}", source ? given(i) : "t." + quote_identifier(spec_->columns[i]), i);
  }
  const std::string whole = record(source ? "s" : "t");
  if (!has_key()) sql += fmt::format(", row_number() OVER (PARTITION BY {}) AS weir_k_n", whole);
  if (!has_key() || !plain_key_) sql += fmt::format(", {} AS weir_k", whole);
  return sql + (source ? from_stage() : fmt::format(" FROM {} t{}", target_->sql(), scope()));
}

std::string LoadSql::join() const {
  if (!has_key()) return "t.weir_k = s.weir_k AND t.weir_k_n = s.weir_k_n";
  if (!plain_key_) return "t.weir_k = s.weir_k";
  return joined(key_.size(), " AND ", [&](std::size_t k) { return fmt::format("t.c{0} = s.c{0}", key_[k]); });
}

std::string LoadSql::diff() const {
  std::vector<std::string> differs;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (has_key() && is_compared(i)) {
      differs.push_back(fmt::format("{} IS DISTINCT FROM {}", compared(fmt::format("t.c{}", i), i),
                                    compared(fmt::format("s.c{}", i), i)));
    } else {
      differs.emplace_back("false");
    }
  }
  const std::string any = joined(differs.size(), " OR ", [&](std::size_t i) { return differs[i]; });
  const std::string each = joined(differs.size(), ", ", [&](std::size_t i) { return differs[i]; });
  std::string values;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    // Of a row that goes, what identifies it is kept: it is deleted only where it still is the row it was.
    values += !has_key() || is_key(i) ? fmt::format(", coalesce(s.c{0}, t.c{0}) AS c{0}", i)
                                      : fmt::format(", s.c{0}", i);
  }
  const std::string order =
      has_key() ? joined(key_.size(), ", ",
                         [&](std::size_t k) { return fmt::format("coalesce(s.c{0}, t.c{0})", key_[k]); })
                : "s.weir_part, s.weir_line";
  const std::string_view kind = spec_->mode == Mode::upsert ? "RIGHT" : "FULL";
  // Rows that are marked as deleted are so once.
  const std::string unmarked =
      marks_deleted() ? fmt::format(" AND (s.weir_line IS NOT NULL OR t.c{} IS NULL)", deleted_at()) : "";
  return fmt::format(
      "CREATE TEMPORARY TABLE weir_diff ON COMMIT DROP AS "
      "SELECT row_number() OVER (ORDER BY {}) AS weir_n, (CASE WHEN s.weir_line IS NULL THEN 'd' WHEN "
      "t.weir_ctid IS NULL THEN 'i' ELSE 'u' END)::text AS weir_op, t.weir_ctid, t.weir_tableoid, "
      "s.weir_line, "
      "s.weir_part, ARRAY[{}]::bool[] AS weir_changed{} FROM ({}) t {} JOIN ({}) s ON {} "
      "WHERE (t.weir_ctid IS NULL OR s.weir_line IS NULL OR {}){}",
      order, each, values, side(false), kind, side(true), join(), any, unmarked);
}

std::string LoadSql::diff_of_append() const {
  std::string values;
  for (std::size_t i = 0; i < columns_.size(); ++i) values += fmt::format(", {} AS c{}", given(i), i);
  return fmt::format(
      "CREATE TEMPORARY TABLE weir_diff ON COMMIT DROP AS SELECT row_number() OVER (ORDER BY {1}, {0}) AS "
      "weir_n, 'i'::text AS weir_op, NULL::tid AS weir_ctid, NULL::oid AS weir_tableoid, {0} AS weir_line, "
      "{1} "
      "AS weir_part, '{{}}'::bool[] AS weir_changed{2}{3}",
      line_, part_, values, from_stage());
}

std::string LoadSql::count_diff() const {
  const std::string changed = joined(columns_.size(), ", ", [](std::size_t i) {
    return fmt::format("coalesce(bool_or(d.weir_changed[{}]), false)", i + 1);
  });
  return fmt::format(
      "SELECT count(*) FILTER (WHERE d.weir_op = 'd'), count(*) FILTER (WHERE d.weir_op = 'u'), count(*) "
      "FILTER "
      "(WHERE d.weir_op = 'i'), coalesce(max(d.weir_n), 0), ARRAY[{}] FROM pg_temp.weir_diff d",
      changed);
}

std::string LoadSql::withhold_rejected_keys() const {
  const std::string match = joined(key_.size(), " AND ", [&](std::size_t k) {
    return fmt::format("d.c{} {} {}", key_[k], plain_key_ ? "=" : "IS NOT DISTINCT FROM", given(key_[k]));
  });
  return fmt::format(
      "DELETE FROM pg_temp.weir_diff d WHERE d.weir_op = 'd' AND EXISTS (SELECT 1 FROM {} s WHERE {} < 0 "
      "AND {})",
      stage_.sql, part_, match);
}

std::string LoadSql::withhold_all() { return "DELETE FROM pg_temp.weir_diff d WHERE d.weir_op = 'd'"; }

// A line pointer may have got another row since the difference was taken: the row has to be the same one.
std::string LoadSql::matches_diff() const {
  std::string sql = "t.ctid = d.weir_ctid AND t.tableoid = d.weir_tableoid";
  const auto same = [&](std::size_t i) {
    const std::string own = "t." + quote_identifier(spec_->columns[i]);
    const std::string kept = fmt::format("d.c{}", i);
    sql += fmt::format(" AND {} {} {}", compared(own, i),
                       has_key() && plain_key_ ? "=" : "IS NOT DISTINCT FROM", compared(kept, i));
  };
  if (has_key()) {
    for (const std::size_t i : key_) same(i);
  } else {
    for (std::size_t i = 0; i < columns_.size(); ++i) same(i);
  }
  return sql;
}

std::string LoadSql::append() const {
  const bool overrides = std::any_of(columns_.begin(), columns_.end(),
                                     [](const TargetColumn* column) { return column->identity == 'a'; });
  return fmt::format("INSERT INTO {} ({}){} SELECT {}{}", target_->sql(), column_list(),
                     overrides ? " OVERRIDING SYSTEM VALUE" : "", given_list(), from_stage());
}

bool LoadSql::marks_deleted() const { return spec_->mode == Mode::refresh && !spec_->deleted_at.empty(); }

std::size_t LoadSql::deleted_at() const {
  const auto found = std::find(spec_->columns.begin(), spec_->columns.end(), spec_->deleted_at);
  return static_cast<std::size_t>(found - spec_->columns.begin());
}

std::string LoadSql::remove() const {
  if (marks_deleted()) {
    return fmt::format("UPDATE {} t SET {} = now()::{} FROM pg_temp.weir_diff d WHERE d.weir_op = 'd' AND {}",
                       target_->sql(), quote_identifier(spec_->deleted_at), column(deleted_at()).type.sql,
                       matches_diff());
  }
  return fmt::format("DELETE FROM {} t USING pg_temp.weir_diff d WHERE d.weir_op = 'd' AND {}",
                     target_->sql(), matches_diff());
}

std::string LoadSql::update(const std::vector<bool>& changed) const {
  const auto several = std::count(changed.begin(), changed.end(), true) > 1;
  std::string set;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (is_key(i) || (is_compared(i) && !changed[i])) continue;
    const std::string name = quote_identifier(spec_->columns[i]);
    set += fmt::format("{}{} = ", set.empty() ? "" : ", ", name);
    set += several && is_compared(i) && is_long(column(i).type.base)
               ? fmt::format("CASE WHEN d.weir_changed[{}] THEN d.c{} ELSE t.{} END", i + 1, i, name)
               : fmt::format("d.c{}", i);
  }
  return fmt::format(
      "UPDATE {} t SET {} FROM pg_temp.weir_diff d WHERE d.weir_op = 'u' AND d.weir_n BETWEEN $1 AND $2 AND "
      "{}",
      target_->sql(), set, matches_diff());
}

std::string LoadSql::conflict_clause() const {
  const UniqueKey* const key = target_->key_of(spec_->key);
  if (!has_key() || spec_->mode == Mode::append || key == nullptr || key->deferrable) return {};
  std::string set;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (is_key(i) || column(i).identity == 'a') continue;
    set += fmt::format("{0}{1} = excluded.{1}", set.empty() ? "" : ", ", quote_identifier(spec_->columns[i]));
  }
  const std::string list =
      joined(key_.size(), ", ", [&](std::size_t k) { return quote_identifier(spec_->columns[key_[k]]); });
  return fmt::format(" ON CONFLICT ({}) DO {}", list, set.empty() ? "NOTHING" : "UPDATE SET " + set);
}

std::string LoadSql::insert() const {
  const bool overrides = std::any_of(columns_.begin(), columns_.end(),
                                     [](const TargetColumn* column) { return column->identity == 'a'; });
  return fmt::format(
      "INSERT INTO {} ({}){} SELECT {} FROM pg_temp.weir_diff d WHERE d.weir_op = 'i' AND d.weir_n BETWEEN "
      "$1 "
      "AND $2 ORDER BY d.weir_n{}",
      target_->sql(), column_list(), overrides ? " OVERRIDING SYSTEM VALUE" : "",
      joined(columns_.size(), ", ", [](std::size_t i) { return fmt::format("d.c{}", i); }),
      conflict_clause());
}

std::string LoadSql::history_time() const {
  const TargetColumn* const from = target_->column(spec_->history.valid_from);
  const std::string type = from == nullptr ? "timestamptz" : from->type.sql;
  return fmt::format("{}::{}",
                     spec_->history_at.empty() ? "current_setting('weir.history_time')::timestamptz"
                                               : quote_literal(spec_->history_at),
                     type);
}

std::string LoadSql::set_history_time() {
  return "SELECT set_config('weir.history_time', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD "
         "HH24:MI:SS.US+00'), true)";
}

std::string LoadSql::close_removed() const {
  const bool flag = target_->column(spec_->history.is_current) != nullptr;
  return fmt::format("UPDATE {} t SET {} = {}{} FROM pg_temp.weir_diff d WHERE d.weir_op = 'd' AND {}",
                     target_->sql(), quote_identifier(spec_->history.valid_to), history_time(),
                     flag ? fmt::format(", {} = false", quote_identifier(spec_->history.is_current)) : "",
                     matches_diff());
}

std::string LoadSql::close_changed() const {
  const bool flag = target_->column(spec_->history.is_current) != nullptr;
  return fmt::format(
      "UPDATE {} t SET {} = {}{} FROM pg_temp.weir_diff d WHERE d.weir_op = 'u' AND d.weir_n BETWEEN $1 AND "
      "$2 "
      "AND {}",
      target_->sql(), quote_identifier(spec_->history.valid_to), history_time(),
      flag ? fmt::format(", {} = false", quote_identifier(spec_->history.is_current)) : "", matches_diff());
}

std::string LoadSql::open_versions() const {
  const bool flag = target_->column(spec_->history.is_current) != nullptr;
  return fmt::format(
      "INSERT INTO {} ({}, {}, {}{}) SELECT {}, {}, NULL{} FROM pg_temp.weir_diff d WHERE d.weir_op IN ('u', "
      "'i') "
      "AND d.weir_n BETWEEN $1 AND $2 ORDER BY d.weir_n",
      target_->sql(), column_list(), quote_identifier(spec_->history.valid_from),
      quote_identifier(spec_->history.valid_to),
      flag ? ", " + quote_identifier(spec_->history.is_current) : "",
      joined(columns_.size(), ", ", [](std::size_t i) { return fmt::format("d.c{}", i); }), history_time(),
      flag ? ", true" : "");
}

std::string LoadSql::count_backward() const {
  return fmt::format(
      "SELECT count(*) FROM {} t, pg_temp.weir_diff d WHERE d.weir_op IN ('d', 'u') AND {} AND t.{} "
      ">= {}",
      target_->sql(), matches_diff(), quote_identifier(spec_->history.valid_from), history_time());
}

std::string LoadSql::reject_row() const {
  const std::string raw = joined(columns_.size(), ", ", [&](std::size_t i) {
    return fmt::format("d.c{} AS {}", i, quote_identifier(spec_->columns[i]));
  });
  return fmt::format(
      "INSERT INTO weir.load_reject (run, line, file, column_name, sqlstate, reason, raw) SELECT $1::int8, "
      "d.weir_line, coalesce((SELECT c.position->>'file' FROM weir.load_chunk c WHERE c.run = $1::int8 AND "
      "c.chunk "
      "= d.weir_part), ''), $3::text, $4::text, $5::text, convert_to((SELECT to_jsonb(x)::text FROM (SELECT "
      "{}) "
      "x), 'UTF8') FROM pg_temp.weir_diff d WHERE d.weir_n = $2::int8",
      raw);
}

}  // namespace weir::load
