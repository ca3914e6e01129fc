#include <optional>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "pg/error.h"
#include "pg/pooler.h"
#include "pg/transaction.h"
#include "pipeline/run/running_task.h"
#include "pipeline/task/sql_task.h"

namespace weir::pipeline {
namespace {

work::Outcome run_elsewhere(RunningTask& running, const SqlBody& body, const SqlScript& script) {
  std::optional<pg::Session> other;
  if (!body.connection.empty()) other.emplace(connect_elsewhere(running, body.connection));
  pg::Session& session = other ? *other : running.session;
  if (!body.transaction) {
    // What weir.param() and the like read is set for the session then.
    if (!other) pg::require_session_state(session, *running.at.connector, "SQL with transaction: false");
    run_script(running, session, script);
    return work::Outcome::done();
  }
  pg::Transaction transaction(session);
  run_script(running, session, script);
  transaction.commit();
  return work::Outcome::done();
}

}  // namespace

void run_script(RunningTask& running, pg::Session& session, const SqlScript& script) {
  LogStore& log = running.log;
  run_sql(session,
          {.script = &script,
           .context = &running.context,
           .deadline = running.deadline,
           .stop = running.stop,
           .done =
               [&](const SqlStatementDone& each) {
                 log.say(fmt::format("{}: {} in {}", each.place, each.command, human_duration(each.took)));
               },
           .notice = [&](std::string_view severity,
                         std::string_view message) { log.say(fmt::format("{}: {}", severity, message)); }});
}

work::Outcome change_and_finish(RunningTask& running, const std::function<void(pg::Session&)>& change) {
  try {
    pg::Transaction transaction(running.session);
    change(running.session);
    auto news = finish_in_transaction(running.session, running.attempt);
    transaction.commit();
    return written(running, std::move(news));
  } catch (const pg::InDoubt&) {
    try {
      if (was_committed(running)) return written(running, {{running.attempt.key, TaskNews::State::untold}});
    } catch (const pg::ConnectionLost& error) {
      // The server is still away. Who writes this outcome finds out: it is refused where the commit was kept.
      log::warn("whether a task was committed is found out later",
                {{"run", running.attempt.key.run}, {"error", error.what()}});
    }
    // Not carried out: it is as if it had never begun.
    return work::Outcome::returned();
  }
}

work::Outcome run_sql_body(RunningTask& running, const SqlBody& body) {
  const SqlScript script(body.text, body.file);
  if (!body.connection.empty() || !body.transaction) return run_elsewhere(running, body, script);
  return change_and_finish(running, [&](pg::Session& session) { run_script(running, session, script); });
}

}  // namespace weir::pipeline
