#include "load/write/load_sql.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "load/write/run.h"
#include "load/write/sql_list.h"
#include "pg/identifier.h"

namespace weir::load {
namespace {

using pg::quote_identifier;
using pg::quote_literal;

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
  std::string value = "s." + quote_identifier(spec_->columns[i]);
  if (column(i).type.base == Base::other || casts_ == Casts::all) value += "::" + column(i).type.sql;
  // Of the stage's own columns 'a' and 'A' are two keys.
  if (!column(i).collation.empty()) value += " COLLATE " + column(i).collation;
  return value;
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

// What is written is what the file says, also where the type calls it equal: 1.00 for 1.0, ABC for abc of
// citext. A version of a history is another value.
bool LoadSql::is_exact(std::size_t i) const { return column(i).exact || spec_->mode == Mode::scd2; }

// An image costs several comparisons; what two equal numbers can differ in is known.
bool LoadSql::needs_image(std::size_t i) const {
  const Base base = column(i).type.base;
  return !is_exact(i) && base != Base::numeric && base != Base::float4 && base != Base::float8;
}

std::string LoadSql::differs_in(std::size_t i) const {
  if (needs_image(i)) return images_differ({i});
  const std::string ours = compared(fmt::format("t.c{}", i), i);
  const std::string theirs = compared(fmt::format("s.c{}", i), i);
  const std::string differs = fmt::format("{} IS DISTINCT FROM {}", ours, theirs);
  if (is_exact(i)) return differs;
  if (column(i).type.base == Base::numeric)
    return fmt::format("({} OR (scale({}) <> scale({})) IS TRUE)", differs, ours, theirs);
  return fmt::format("({0} OR ({1} = 0 AND {1}::text <> {2}::text) IS TRUE)", differs, ours, theirs);
}

// Without the cast to record, ROW() with an operator is a comparison column by column. Images are compared of
// one type alone, and the stage may have been made before a column became wider.
std::string LoadSql::images_differ(const std::vector<std::size_t>& columns) const {
  const auto ours = [&](std::size_t k) { return fmt::format("t.c{}", columns[k]); };
  const auto theirs = [&](std::size_t k) {
    return fmt::format("s.c{}::{}", columns[k], column(columns[k]).type.sql);
  };
  return fmt::format("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record",
                     joined(columns.size(), ", ", ours), joined(columns.size(), ", ", theirs));
}

/// One comparison of images, where it is needed at all, costs as much as those of the columns one by one.
std::string LoadSql::differs_at_all() const {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < columns_.size() && has_key(); ++i) {
    if (is_compared(i)) all.push_back(i);
  }
  if (all.empty()) return "false";
  if (std::any_of(all.begin(), all.end(), [&](std::size_t i) { return needs_image(i); }))
    return images_differ(all);
  return joined(all.size(), " OR ", [&](std::size_t k) { return differs_in(all[k]); });
}

std::string LoadSql::diff() const {
  std::vector<std::string> differs;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    differs.push_back(has_key() && is_compared(i) ? differs_in(i) : "false");
  }
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
      order, each, values, side(false), kind, side(true), join(), differs_at_all(), unmarked);
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

std::string LoadSql::count_changed(std::size_t column) {
  return fmt::format("SELECT count(*) FROM pg_temp.weir_diff d WHERE d.weir_op = 'u' AND d.weir_changed[{}]",
                     column + 1);
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

/// Values that are given count, also of what is GENERATED ALWAYS AS IDENTITY.
std::string_view LoadSql::overriding() const {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (is_fixed(i)) return " OVERRIDING SYSTEM VALUE";
  }
  return "";
}

std::string LoadSql::append() const {
  return fmt::format("INSERT INTO {} ({}){} SELECT {}{}", target_->sql(), column_list(), overriding(),
                     given_list(), from_stage());
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
    if (is_key(i) || (is_compared(i) && !changed[i]) || is_fixed(i)) continue;
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
    if (is_key(i) || is_fixed(i)) continue;
    set += fmt::format("{0}{1} = excluded.{1}", set.empty() ? "" : ", ", quote_identifier(spec_->columns[i]));
  }
  const std::string list =
      joined(key_.size(), ", ", [&](std::size_t k) { return quote_identifier(spec_->columns[key_[k]]); });
  return fmt::format(" ON CONFLICT ({}) DO {}", list, set.empty() ? "NOTHING" : "UPDATE SET " + set);
}

std::string LoadSql::insert() const {
  return fmt::format(
      "INSERT INTO {} ({}){} SELECT {} FROM pg_temp.weir_diff d WHERE d.weir_op = 'i' AND d.weir_n BETWEEN "
      "$1 "
      "AND $2 ORDER BY d.weir_n{}",
      target_->sql(), column_list(), overriding(),
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
      "INSERT INTO {} ({}, {}, {}{}){} SELECT {}, {}, NULL{} FROM pg_temp.weir_diff d WHERE d.weir_op IN "
      "('u', "
      "'i') "
      "AND d.weir_n BETWEEN $1 AND $2 ORDER BY d.weir_n",
      target_->sql(), column_list(), quote_identifier(spec_->history.valid_from),
      quote_identifier(spec_->history.valid_to),
      flag ? ", " + quote_identifier(spec_->history.is_current) : "", overriding(),
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
      "= d.weir_part), ''), $3::text, $4::text, $5::text, substr(convert_to((SELECT to_jsonb(x)::text FROM "
      "(SELECT {}) x), 'UTF8'), 1, {}) FROM pg_temp.weir_diff d WHERE d.weir_n = $2::int8",
      raw, kRejectKept);
}

}  // namespace weir::load
