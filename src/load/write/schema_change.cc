#include "load/write/schema_change.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "base/wait.h"
#include "load/write/patience.h"
#include "load/write/target_lock.h"
#include "pg/identifier.h"
#include "pg/limit.h"
#include "pg/session.h"
#include "pg/transaction.h"
#include "schema/queries/loads.h"

namespace weir::load {
namespace {

// What a table that loads rewrite in place needs (design, section 8).
constexpr std::string_view kSettings =
    "fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_analyze_scale_factor = 0.02, vacuum_truncate = off";

/// ALTER would take the same; so the wait is known, and what it writes anew is not a part of it. An owner may
/// change a table for which he has taken from himself what LOCK asks for.
void lock_to_change(pg::Session& session, const Target& target, Altered& altered) {
  const Duration waited =
      lock_by_name(session, fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", target.sql()));
  altered.longest_wait = std::max(altered.longest_wait, waited);
}

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
  return fmt::format("CREATE TABLE {} ({}) WITH ({})", table.sql(), list, kSettings);
}

bool create_table(pg::Session& session, const TableName& table, const std::vector<NewColumn>& columns,
                  const std::vector<std::string>& key) {
  try {
    session.execute(create_table_sql(table, columns, key));
    return true;
  } catch (const pg::Error& error) {
    // Of two at once the second may come as far as the catalogue's index.
    if (error.sqlstate() == "23505" || error.sqlstate() == "42P07" || error.sqlstate() == "42710")
      return false;
    throw;
  }
}

void drop_created(pg::Session& session, const Target& target) noexcept {
  try {
    pg::Transaction transaction(session);
    transaction.set_local("lock_timeout", "1s");
    // Another load of it may have begun: it finds out, or it has the lock and this waits in vain.
    session.run<sql::LoadLockTarget>(std::int64_t{target.oid});
    session.execute(fmt::format("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", target.sql()));
    const pg::Result now = session.execute(
        fmt::format("SELECT $1::text::regclass::oid::int8 = $2::int8 AND NOT EXISTS (SELECT 1 FROM {})",
                    target.sql()),
        target.sql(), std::int64_t{target.oid});
    if (!now[0].get<bool>(0)) return;
    session.execute("DROP TABLE " + target.sql());
    transaction.commit();
  } catch (const std::exception& error) {
    log::warn("a table that a failed load had made is still there, empty",
              {{"table", target.label()}, {"error", error.what()}});
  }
}

std::string change_type_sql(const std::string& name, const ColumnType& from, const ColumnType& to) {
  const std::string quoted = pg::quote_identifier(name);
  std::string sql = fmt::format("ALTER COLUMN {} TYPE {}", quoted, to.sql);
  const bool by_text = from.base == Base::float4 || (from.base == Base::float8 && to.base == Base::numeric);
  if (by_text && to.base != Base::text) sql += fmt::format(" USING {}::text::{}", quoted, to.sql);
  return sql;
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
    const TargetColumn* const now = target.column(column.name);
    changes += (changes.empty() ? "" : ", ") +
               change_type_sql(column.name, now == nullptr ? column.type : now->type, column.type);
  }
  return fmt::format("ALTER TABLE {} {}", target.sql(), changes);
}

Altered evolve(pg::Session& session, const Target& target, const Drift& drift, const DdlOptions& options) {
  Altered altered;
  if (drift.none()) return altered;
  const std::string sql = evolve_sql(target, drift);
  std::string why;
  for (int attempt = 1; attempt <= options.attempts; ++attempt) {
    try {
      pg::Transaction transaction(session);
      transaction.set_local("lock_timeout", limit_of(options.lock_timeout));
      lock_to_change(session, target, altered);
      session.execute(sql);
      altered.waiting = look_who_waits(session);
      transaction.commit();
      return altered;
    } catch (const pg::LockTimeout& error) {
      why = error.what();
      altered.longest_wait = std::max(altered.longest_wait, options.lock_timeout);
    } catch (const pg::Retryable& error) {
      why = error.what();
    }
    if (attempt == options.attempts) break;
    Wakeup wakeup;
    const pg::Limit limit = session.limit();
    if (wait_fd(-1, 0, Deadline::after(retry_pause(std::min(attempt, 4))), limit.stop, wakeup) ==
        WaitEnd::stopped) {
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
