// Of LoadSql: what is refused in the stage.
#include <algorithm>

#include <fmt/format.h>

#include "load/write/load_sql.h"
#include "load/write/run.h"
#include "load/write/sql_list.h"
#include "pg/identifier.h"

namespace weir::load {

using pg::quote_identifier;
using pg::quote_literal;

// Looks like: the rows get their mark, and the list of rejects its rows, in one statement. $1 is the run.
std::string LoadSql::rejecting(const std::string& where, const std::string& name, const std::string& sqlstate,
                               const std::string& reason, bool keep_key) const {
  const std::string change =
      keep_key ? fmt::format("UPDATE {} s SET {} = -1 - {}", stage_.sql, quote_identifier(stage_.part), part_)
               : fmt::format("DELETE FROM {} s", stage_.sql);
  const std::string part = keep_key ? "-1 - " + part_ : part_;
  return fmt::format(
      "WITH weir_bad AS ({} WHERE {} >= 0 AND ({}) RETURNING {} AS line, {} AS part, {} AS "
      "name, {} AS state, {} AS reason, substr(convert_to((to_jsonb(s) - ARRAY[{}, {}])::text, 'UTF8'), 1, "
      "{}) "
      "AS raw) "
      "INSERT INTO weir.load_reject (run, line, file, column_name, sqlstate, reason, raw) "
      "SELECT $1::int8, b.line, coalesce((SELECT c.position->>'file' FROM weir.load_chunk c WHERE c.run = "
      "$1::int8 AND c.chunk = b.part), ''), b.name, b.state, b.reason, b.raw FROM weir_bad b",
      change, part_, where, line_, part, name, sqlstate, reason, quote_literal(stage_.line),
      quote_literal(stage_.part), kRejectKept);
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
  return rejecting(where, name + " END", "'23502'", "'null, which the column does not allow'");
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
                   quote_literal(window.column), "'22000'",
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
                   quote_literal(key.columns.front()), "'23503'",
                   quote_literal(fmt::format("no such row in {} ({})", key.other, key.name)));
}

// The last record of a key counts, also where it was refused: what came before it is older than that.
std::string LoadSql::earlier_of_key() const {
  return fmt::format(
      "SELECT d.id FROM (SELECT s.ctid AS id, {0} AS part, row_number() OVER (PARTITION BY {1} ORDER BY "
      "greatest({0}, -1 - {0}) DESC, {2} DESC) AS n FROM {3} s) d WHERE d.n > 1 AND d.part >= 0",
      part_, key_list(), line_, stage_.sql);
}

std::string LoadSql::drop_duplicates() const {
  return fmt::format("DELETE FROM {} s USING ({}) e WHERE s.ctid = e.id", stage_.sql, earlier_of_key());
}

std::string LoadSql::reject_duplicates() const {
  return rejecting(fmt::format("s.ctid IN ({})", earlier_of_key()), quote_literal(spec_->key.front()),
                   "'23505'", "'its key comes again in a later record'", false);
}

// An explicit cast to varchar(3) cuts where COPY refuses.
std::string LoadSql::try_casts() const {
  const std::vector<std::size_t> casts = cast_columns();
  return fmt::format(
      "SELECT {}{}",
      joined(casts.size(), ", ",
             [&](std::size_t k) {
               const TargetColumn& to = column(casts[k]);
               // Of a row that was refused the key counts, and may be all that there is.
               const std::string of_rows = is_key(casts[k]) ? "" : " FILTER (WHERE " + part_ + " >= 0)";
               if (to.uncut.empty()) return fmt::format("count({}){} < 0", given(casts[k]), of_rows);
               return fmt::format("coalesce(bool_or((s.{}::{})::text IS DISTINCT FROM ({})::text){}, false)",
                                  quote_identifier(to.name), to.uncut, given(casts[k]), of_rows);
             }),
      " FROM " + stage_.sql + " s");
}

// An assignment refuses what a cast would cut. The sqlstate, and behind it the reason.
std::string LoadSql::misfit_function(std::size_t i) const {
  const TargetColumn& to = column(i);
  return fmt::format(
      "CREATE FUNCTION pg_temp.weir_misfit_{}(given text) RETURNS text LANGUAGE plpgsql AS {}", i,
      quote_literal(fmt::format("BEGIN DECLARE value {} := given::{}; BEGIN RETURN NULL; END; "
                                "EXCEPTION WHEN data_exception OR integrity_constraint_violation OR "
                                "syntax_error THEN RETURN SQLSTATE || SQLERRM; END",
                                to.type.sql, to.uncut.empty() ? to.type.sql : to.uncut)));
}

std::string LoadSql::reject_misfits(std::size_t i) const {
  const std::string call =
      fmt::format("pg_temp.weir_misfit_{}(s.{})", i, quote_identifier(spec_->columns[i]));
  return rejecting(call + " IS NOT NULL", quote_literal(spec_->columns[i]), fmt::format("left({}, 5)", call),
                   fmt::format("substr({}, 6)", call), !is_key(i));
}

std::string LoadSql::forget_misfit_keys(std::size_t i) const {
  return fmt::format("DELETE FROM {} s WHERE {} < 0 AND pg_temp.weir_misfit_{}(s.{}) IS NOT NULL", stage_.sql,
                     part_, i, quote_identifier(spec_->columns[i]));
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

}  // namespace weir::load
