#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "pipeline/run/running_task.h"
#include "pipeline/task/sql_task.h"

namespace weir::pipeline {
namespace {

SqlTask task_of(RunningTask& running, const SqlScript& script) {
  return {.script = &script, .context = &running.context, .deadline = running.deadline, .stop = running.stop};
}

/// After the statements: what is said in a transaction could not be stored.
void tell(RunningTask& running, const std::vector<SqlStatementDone>& done) {
  for (const SqlStatementDone& each : done)
    running.log.say(fmt::format("{}: {} in {}", each.place, each.command, human_duration(each.took)));
}

work::Outcome run_elsewhere(RunningTask& running, const SqlBody& body, const SqlScript& script) {
  std::optional<pg::Session> other;
  if (!body.connection.empty()) other.emplace(connect_elsewhere(running, body.connection));
  pg::Session& session = other ? *other : running.session;
  if (!body.transaction) {
    tell(running, run_sql(session, task_of(running, script)));
    return work::Outcome::done();
  }
  pg::Transaction transaction(session);
  const auto done = run_sql(session, task_of(running, script));
  transaction.commit();
  tell(running, done);
  return work::Outcome::done();
}

}  // namespace

work::Outcome run_sql_body(RunningTask& running, const SqlBody& body) {
  const SqlScript script(body.text, body.file);
  if (!body.connection.empty() || !body.transaction) return run_elsewhere(running, body, script);

  std::vector<SqlStatementDone> done;
  std::vector<TaskNews> news;
  try {
    pg::Transaction transaction(running.session);
    done = run_sql(running.session, task_of(running, script));
    news = finish_in_transaction(running.session, running.attempt);
    transaction.commit();
  } catch (const pg::InDoubt&) {
    // Not carried out: it is as if it had never begun.
    if (!was_committed(running)) return work::Outcome::returned();
    return written(running, {{running.attempt.key, TaskNews::State::untold}});
  }
  if (running.session.is_open()) tell(running, done);
  return written(running, std::move(news));
}

}  // namespace weir::pipeline
