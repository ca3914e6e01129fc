#include "pipeline/run/model_view.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "base/wait.h"
#include "load/write/patience.h"
#include "pg/error.h"
#include "schema/queries/models.h"

namespace weir::pipeline {
namespace {

/// CREATE OR REPLACE VIEW can add columns behind those that there are, and nothing else.
constexpr std::string_view kOtherColumns = "42P16";
constexpr std::string_view kOthersDepend = "2BP01";

/// Whoever comes to read the view while we wait for those who do waits behind us.
constexpr const char* kLockTimeout = "100ms";
constexpr int kAttempts = 100;

[[noreturn]] void refuse(const ModelBody& body, std::string_view why) {
  throw Error(ExitCode::failed,
              fmt::format("{} has to be made anew, for its columns are no longer those it had, and {}",
                          body.relation, why),
              "Drop it, and make it again when the task has run.");
}

void drop_view(pg::Session& session, const ModelBody& body) {
  std::vector<std::string> extras;
  for (const auto& row : session.run<sql::ViewExtras>(body.relation)) extras.emplace_back(row.what);
  if (!extras.empty()) refuse(body, fmt::format("it has a {}", fmt::join(extras, ", a ")));
  try {
    session.execute("DROP VIEW " + body.relation);
  } catch (const pg::Error& error) {
    if (error.sqlstate() != kOthersDepend) throw;
    const std::string& detail = error.info().detail;
    refuse(body, detail.empty() ? error.info().message : detail.substr(0, detail.find('\n')));
  }
}

struct Keepsake {
  std::string column;  ///< empty: of the view
  std::string statement;
};

void make_anew(RunningTask& running, pg::Session& session, const ModelBody& body) {
  std::vector<Keepsake> keepsakes;
  for (const auto& row : session.run<sql::ViewKeepsakes>(body.relation))
    keepsakes.push_back({std::string(row.column_name.value_or("")), std::string(row.statement)});
  drop_view(session, body);
  run_script(running, session, {fmt::format("CREATE VIEW {} AS\n{}", body.relation, body.select), body.file});
  std::vector<std::string> columns;
  for (const auto& row : session.run<sql::ViewColumns>(body.relation)) columns.emplace_back(row.name);
  std::vector<std::string> revokes;
  for (const auto& row : session.run<sql::ViewGrantees>(body.relation)) revokes.emplace_back(row.statement);
  for (const std::string& statement : revokes) session.execute(statement);
  for (const Keepsake& kept : keepsakes) {
    if (kept.column.empty() || std::find(columns.begin(), columns.end(), kept.column) != columns.end())
      session.execute(kept.statement);
  }
  running.log.say(fmt::format(
      "{}: the view is made anew, for its columns are others; owner, rights and comments are as they were",
      body.relation));
}

void replace_view(RunningTask& running, pg::Session& session, const ModelBody& body) {
  try {
    run_script(running, session,
               {fmt::format("CREATE OR REPLACE VIEW {} AS\n{}", body.relation, body.select), body.file});
  } catch (const pg::Error& error) {
    if (error.sqlstate() != kOtherColumns) throw;
    session.execute("ROLLBACK TO SAVEPOINT weir_view");
    make_anew(running, session, body);
  }
}

std::optional<std::string> definition_of(pg::Session& session, const std::string& view) {
  const auto rows = session.run<sql::ViewDefinition>(view);
  return rows.empty() ? std::nullopt : std::optional(std::string(rows[0].definition));
}

/// As the server writes both down. A SELECT that it refuses is refused with its place where the view is
/// replaced.
bool is_as_it_was(RunningTask& running, pg::Session& session, const ModelBody& body) {
  const auto before = definition_of(session, body.relation);
  if (!before) return false;
  bool same = false;
  session.execute("SAVEPOINT weir_look");
  try {
    session.execute("CREATE TEMPORARY VIEW weir_look AS\n" + body.select);
    same = definition_of(session, "pg_temp.weir_look") == before;
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
    if (error.sqlstate() == "42501")
      running.log.say(
          fmt::format("whether the view has changed cannot be seen, so it is replaced: {}", error.what()));
  }
  session.execute("ROLLBACK TO SAVEPOINT weir_look");
  session.execute("RELEASE SAVEPOINT weir_look");
  return same;
}

void wait_to_retry(const RunningTask& running, const ModelBody& body, int attempt, const pg::Error& error) {
  if (attempt >= kAttempts) {
    throw Error(
        ExitCode::failed,
        fmt::format("{} was not replaced: {} (tried {} times)", body.relation, error.what(), attempt),
        "The view is as it was. Run it again when those have ended who read it, or lock what it reads.");
  }
  Wakeup wakeup;
  const Deadline next = Deadline::after(load::retry_pause(attempt)).sooner(running.deadline);
  if (wait_fd(-1, 0, next, running.stop, wakeup) == WaitEnd::stopped)
    pg::raise({.kind = pg::ErrorKind::stopped, .message = "stopped before the view was replaced"});
  if (running.deadline.expired()) throw TookTooLong(running.task);
}

void set_lock_timeout(pg::Session& session, const std::string& value) {
  session.execute("SELECT pg_catalog.set_config('lock_timeout', $1, true)", value);
}

}  // namespace

void make_view(RunningTask& running, pg::Session& session, const ModelBody& body) {
  const std::string patience =
      session.execute("SELECT pg_catalog.current_setting('lock_timeout')")[0].get<std::string>(0);
  set_lock_timeout(session, kLockTimeout);
  session.execute("SAVEPOINT weir_view");
  std::optional<bool> same;  // a look may end in a lock timeout, and then nothing is known
  for (int attempt = 1;; ++attempt) {
    try {
      if (!same) same = is_as_it_was(running, session, body);
      if (*same) {
        running.log.say(fmt::format("{}: the view is as it was", body.relation));
      } else {
        replace_view(running, session, body);
      }
      break;
    } catch (const pg::LockTimeout& error) {
      session.execute("ROLLBACK TO SAVEPOINT weir_view");
      wait_to_retry(running, body, attempt, error);
    }
  }
  session.execute("RELEASE SAVEPOINT weir_view");
  set_lock_timeout(session, patience);
}

}  // namespace weir::pipeline
