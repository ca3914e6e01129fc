#include "pipeline/task/sql_task.h"

#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "pg/error.h"
#include "pg/params.h"
#include "pg/row.h"
#include "pipeline/time/preview.h"

namespace weir::pipeline {
namespace {

using pg::Session;

// No named queries: a list of settings, and SQL of the user.

/// What a script may change, and who goes on with the session must find as it was.
constexpr std::array<std::string_view, 6> kKept{
    "role", "search_path", "lock_timeout", "statement_timeout", "row_security", "session_replication_role"};

constexpr std::string_view kLookForUs = "client_connection_check_interval";

using Settings = std::vector<std::pair<std::string_view, std::string>>;

Settings settings_of(const TaskContext& context, bool in_transaction) {
  return {{"weir.params", context.params},
          {"weir.item", context.item.value_or("")},
          {"weir.pipeline", context.pipeline},
          {"weir.task", context.task},
          {"weir.transaction", in_transaction ? "on" : "off"},
          {"weir.attempt", std::to_string(context.attempt)},
          {"weir.run_id", std::to_string(context.run)},
          {"weir.logical_time", utc_text(context.logical_time)},
          {"weir.interval_start", utc_text(context.interval.from)},
          {"weir.interval_end", utc_text(context.interval.to)},
          // A cancel that overtakes its statement is lost: then the server looks for us by itself.
          {kLookForUs, "2s"}};
}

/// In one statement, for the transaction (`local`) or for the session. Answers the values of kKept from
/// before.
std::vector<std::string> apply_settings(Session& session, const Settings& settings, bool local) {
  pg::Params params;
  std::string sql = "SELECT ";
  for (const std::string_view name : kKept)
    sql += fmt::format("{}pg_catalog.current_setting('{}')", name == kKept.front() ? "" : ", ", name);
  int number = 0;
  for (const auto& [name, value] : settings) {
    const std::string set =
        fmt::format("pg_catalog.set_config(${}::text, ${}::text, {})", number + 1, number + 2, local);
    // Where the server's system cannot look for clients, to ask for it is an error.
    sql += name == kLookForUs ? fmt::format(", CASE WHEN pg_catalog.version() ~ 'linux' THEN {} END", set)
                              : ", " + set;
    params.add<std::string_view>(name);
    params.add<std::string_view>(value);
    number += 2;
  }
  const pg::Result result = session.execute_with(sql, params);
  std::vector<std::string> before;
  for (std::size_t i = 0; i < kKept.size(); ++i)
    before.push_back(result[0].get<std::string>(static_cast<int>(i)));
  return before;
}

/// The kind stays: it decides what the caller does next.
[[noreturn]] void rethrow_with_place(const pg::Error& error, const SqlScript& script,
                                     const SqlStatement& statement) {
  pg::ErrorInfo info = error.info();
  std::string place = script.place(statement.line);
  int character = 0;
  const auto read =
      std::from_chars(info.position.data(), info.position.data() + info.position.size(), character);
  if (!info.position.empty() && read.ec == std::errc() && character > 0) {
    const Position at = script.position_of(statement, character);
    place = fmt::format("{}{}{}", script.place(at.line), at.file.empty() ? ", column " : ":", at.column);
  }
  info.message = fmt::format("{}: {}", place, info.message);
  info.query.clear();
  info.position.clear();
  // "cannot run inside a transaction block"
  if (info.sqlstate == "25001" && info.hint.empty())
    info.hint = "Say transaction: false in the task; then each statement stands for itself, at least once.";
  pg::raise(std::move(info));
}

/// The task's deadline and stop, for as long as its statements run.
class TaskLimits {
 public:
  TaskLimits(Session& session, const SqlTask& task)
      : session_(&session), timeout_(session.options().timeout), stop_(session.options().stop) {
    session.set_stop(task.stop);
    if (task.notice) session.set_notice_handler(task.notice);
  }
  ~TaskLimits() {
    session_->set_notice_handler({});
    session_->set_timeout(timeout_);
    session_->set_stop(std::move(stop_));
  }
  TaskLimits(const TaskLimits&) = delete;
  TaskLimits& operator=(const TaskLimits&) = delete;

 private:
  Session* session_;
  Duration timeout_;
  std::stop_token stop_;
};

SqlStatementDone run_statement(Session& session, const SqlTask& task, const SqlStatement& statement) {
  const SqlScript& script = *task.script;
  const SteadyTime begin = std::chrono::steady_clock::now();
  // As long as it takes, unless the task says otherwise.
  session.set_timeout(task.deadline.is_never() ? Duration::max() : task.deadline.at() - begin);
  try {
    const pg::Result result = session.execute_without_rows(script.text_of(statement));
    return {.place = script.place(statement.line),
            .command = std::string(result.command()),
            .rows = result.affected(),
            .took = std::chrono::steady_clock::now() - begin};
  } catch (const pg::Error& error) {
    rethrow_with_place(error, script, statement);
  }
}

/// Only what differs: to set some of them takes rights, even to what they are.
void restore(Session& session, const Settings& ours, const std::vector<std::string>& before) {
  const std::vector<std::string> now = apply_settings(session, {}, false);
  Settings changed;
  for (std::size_t i = 0; i < kKept.size(); ++i)
    if (now[i] != before[i]) changed.emplace_back(kKept.at(i), before[i]);
  // In a transaction they end with it.
  if (!session.in_transaction())
    for (const auto& [name, value] : ours) changed.emplace_back(name, name.starts_with("weir.") ? "" : "0");
  // Not only for the transaction: a SET of the script would come back after it.
  if (!changed.empty()) apply_settings(session, changed, false);
}

}  // namespace

std::vector<SqlStatementDone> run_sql(Session& session, const SqlTask& task) {
  const bool in_transaction = session.in_transaction();
  const Settings settings = settings_of(*task.context, in_transaction);
  const std::vector<std::string> before = apply_settings(session, settings, in_transaction);
  std::vector<SqlStatementDone> done;
  {
    const TaskLimits limits(session, task);
    for (const SqlStatement& statement : task.script->statements()) {
      done.push_back(run_statement(session, task, statement));
      if (task.done) task.done(done.back());
    }
  }
  if (session.in_transaction() != in_transaction) {
    throw Error(ExitCode::failed,
                fmt::format("{}: the script has ended its transaction", task.script->place(1)),
                "A task's statements share one transaction with its success.");
  }
  restore(session, settings, before);
  return done;
}

}  // namespace weir::pipeline
