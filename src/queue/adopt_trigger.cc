#include "queue/adopt_trigger.h"

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/wait.h"
#include "pg/identifier.h"
#include "pg/transaction.h"
#include "schema/queries/adopt.h"

namespace weir::queue {
namespace {

constexpr BackoffPolicy kStepBack{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(5)};

std::string quoted(const AdoptFacts& table) {
  return pg::quote_identifier(table.schema) + "." + pg::quote_identifier(table.name);
}

void change(pg::Session& session, const AdoptFacts& table, const std::string& statement,
            const TriggerOptions& options) {
  Wakeup wakeup;
  for (int attempt = 1;; ++attempt) {
    try {
      pg::Transaction transaction(session);
      transaction.set_local(
          "lock_timeout",
          fmt::format("{}ms", std::chrono::ceil<std::chrono::milliseconds>(options.lock_timeout).count()));
      session.execute(statement);
      transaction.commit();
      return;
    } catch (const pg::LockTimeout&) {
      if (options.limit.deadline.expired())
        throw Error(
            ExitCode::database,
            fmt::format("{} was in use all the time, so its trigger could not be changed ({} attempts)",
                        table.schema + "." + table.name, attempt),
            "Long transactions hold locks on it: try again when it is less busy. See: SELECT "
            "pid, query FROM pg_stat_activity WHERE xact_start < now() - interval '1 minute';");
    } catch (const pg::Retryable&) {
      if (options.limit.deadline.expired()) throw;
    }
    if (options.on_retry) options.on_retry(attempt);
    const Deadline pause = Deadline::after(backoff_delay(kStepBack, attempt, random_unit()));
    if (wait_fd(-1, 0, pause.sooner(options.limit.deadline), options.limit.stop, wakeup) == WaitEnd::stopped)
      pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped before the trigger was changed"});
  }
}

}  // namespace

std::string wake_channel(std::int64_t table_id) { return fmt::format("weir_consume_{}", table_id); }

bool has_wake_trigger(pg::Session& session, std::int64_t table_id) {
  const auto answer = session.run<sql::AdoptTrigger>(table_id);
  return answer.one().present && answer.one().enabled;
}

bool install_wake_trigger(pg::Session& session, const AdoptFacts& table, const TriggerOptions& options) {
  const auto answer = session.run<sql::AdoptTrigger>(table.id);
  if (!answer.one().function_present)
    throw Error(ExitCode::database, "the trigger's function weir.wake_consumers() is not in this database",
                "Run weir db migrate first.");
  if (answer.one().present && answer.one().enabled) return false;
  if (answer.one().present) {
    change(session, table, fmt::format("ALTER TABLE {} ENABLE TRIGGER weir_consume_wake", quoted(table)),
           options);
    return true;
  }
  if (table.kind != 'r' && table.kind != 'p')
    throw Error(ExitCode::definition,
                table.schema + "." + table.name + " is no table, so rows that come into it wake nobody");
  change(session, table,
         fmt::format("CREATE TRIGGER weir_consume_wake AFTER INSERT ON {} FOR EACH STATEMENT "
                     "EXECUTE FUNCTION weir.wake_consumers()",
                     quoted(table)),
         options);
  return true;
}

bool remove_wake_trigger(pg::Session& session, const AdoptFacts& table, const TriggerOptions& options) {
  const auto answer = session.run<sql::AdoptTrigger>(table.id);
  if (!answer.one().present) return false;
  change(session, table, fmt::format("DROP TRIGGER IF EXISTS weir_consume_wake ON {}", quoted(table)),
         options);
  return true;
}

}  // namespace weir::queue
