#include "load/write/schema_change.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/error.h"
#include "base/text.h"
#include "base/wait.h"
#include "pg/identifier.h"
#include "pg/limit.h"
#include "pg/session.h"
#include "pg/transaction.h"
#include "schema/queries.h"

namespace weir::load {
namespace {

constexpr BackoffPolicy kBackoff{std::chrono::milliseconds(50), std::chrono::seconds(5), 2.0, 1.0};
// What a table that loads rewrite in place needs (design, section 8).
constexpr std::string_view kSettings =
    "fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_analyze_scale_factor = 0.02, vacuum_truncate = off";

bool has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string create_table_sql(const TableName& table, const std::vector<NewColumn>& columns,
                             const std::vector<std::string>& key) {
  std::string list;
  for (const NewColumn& column : columns) {
    list += fmt::format("{}{} {}{}", list.empty() ? "" : ", ", pg::quote_identifier(column.name),
                        column.type.sql, column.not_null || has(key, column.name) ? " NOT NULL" : "");
  }
  std::string primary;
  for (const std::string& name : key) primary += (primary.empty() ? "" : ", ") + pg::quote_identifier(name);
  if (!primary.empty()) list += fmt::format(", PRIMARY KEY ({})", primary);
  return fmt::format("CREATE TABLE IF NOT EXISTS {} ({}) WITH ({})", table.sql(), list, kSettings);
}

void create_table(pg::Session& session, const TableName& table, const std::vector<NewColumn>& columns,
                  const std::vector<std::string>& key) {
  try {
    session.execute(create_table_sql(table, columns, key));
  } catch (const pg::Error& error) {
    // Two at once: IF NOT EXISTS does not help the one that comes second to the catalogue's index.
    if (error.sqlstate() == "23505" || error.sqlstate() == "42P07" || error.sqlstate() == "42710") return;
    throw;
  }
}

bool rewrites(const ColumnType& from, const ColumnType& to) noexcept {
  const auto is_text = [](Base base) { return base == Base::text || base == Base::varchar; };
  if (is_text(from.base) && is_text(to.base)) return to.modifier != -1 && to.modifier < from.modifier;
  if (from.base == Base::numeric && to.base == Base::numeric) return to.modifier != -1;
  return !(from == to);
}

std::string evolve_sql(const Target& target, const Drift& drift) {
  std::string changes;
  for (const NewColumn& column : drift.added) {
    changes += fmt::format("{}ADD COLUMN IF NOT EXISTS {} {}", changes.empty() ? "" : ", ",
                           pg::quote_identifier(column.name), column.type.sql);
  }
  for (const NewColumn& column : drift.widened) {
    changes += fmt::format("{}ALTER COLUMN {} TYPE {}", changes.empty() ? "" : ", ",
                           pg::quote_identifier(column.name), column.type.sql);
  }
  return fmt::format("ALTER TABLE {} {}", target.sql(), changes);
}

void evolve(pg::Session& session, const Target& target, const Drift& drift, const DdlOptions& options) {
  if (drift.none()) return;
  const std::string sql = evolve_sql(target, drift);
  std::string why;
  for (int attempt = 1; attempt <= options.attempts; ++attempt) {
    try {
      pg::Transaction transaction(session);
      transaction.set_local(
          "lock_timeout",
          std::to_string(std::chrono::ceil<std::chrono::milliseconds>(options.lock_timeout).count()) + "ms");
      session.execute(sql);
      transaction.commit();
      return;
    } catch (const pg::LockTimeout& error) {
      why = error.what();
    } catch (const pg::Retryable& error) {
      why = error.what();
    }
    if (attempt == options.attempts) break;
    Wakeup wakeup;
    const pg::Limit limit = session.limit();
    if (wait_fd(-1, 0, Deadline::after(backoff_delay(kBackoff, std::min(attempt, 4), random_unit())),
                limit.stop, wakeup) == WaitEnd::stopped) {
      pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped before a change of the table"});
    }
  }
  std::string message =
      fmt::format("{} was not changed: {} (tried {} times)", target.label(), why, options.attempts);
  const auto holders = session.run<sql::LoadLockHolders>(std::int64_t{target.oid});
  for (const auto holder : holders) message += "; in the way: " + printable(holder.description);
  throw Error(ExitCode::failed, message, "Wait until they have finished. What would be run: " + sql + ";");
}

}  // namespace weir::load
