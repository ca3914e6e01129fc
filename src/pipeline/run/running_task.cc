#include "pipeline/run/running_task.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "pipeline/run/task_endings.h"
#include "pipeline/task/sql_task.h"
#include "pipeline/task/template.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

/// As long as the task may take, as its own statements.
pg::Result ask_in_time(RunningTask& running, pg::Session& session, const std::string& query) {
  const Duration before = session.options().timeout;
  session.set_timeout(running.deadline.is_never() ? Duration::max()
                                                  : running.deadline.at() - std::chrono::steady_clock::now());
  pg::Result result = session.execute(query);
  session.set_timeout(before);
  return result;
}

/// For as long as the transaction.
void tell_of_run(RunningTask& running, pg::Session& session) {
  const SqlScript none("", "");
  run_sql(session, {.script = &none, .context = &running.context});
}

bool first_is_true(const pg::Result& result) {
  return result.rows() > 0 && result[0].get<std::optional<bool>>(0).value_or(false);
}

}  // namespace

TookTooLong::TookTooLong(const TaskDefinition& task)
    : Error(ExitCode::failed, fmt::format("it took longer than its timeout of {}",
                                          human_duration(task.timeout.value_or(Duration::zero())))) {}

bool holds(RunningTask& running, pg::Session& session, const std::string& query) {
  tell_of_run(running, session);
  return first_is_true(ask_in_time(running, session, query));
}

pg::Result ask(RunningTask& running, pg::Session& session, const std::string& query) {
  const pg::Transaction transaction(session);
  tell_of_run(running, session);
  session.set_stop(running.stop);
  return ask_in_time(running, session, query);
}

bool is_true(RunningTask& running, pg::Session& session, const std::string& query) {
  return first_is_true(ask(running, session, query));
}

std::vector<TaskNews> finish_in_transaction(pg::Session& session, const TaskAttempt& attempt) {
  auto news = finish_tasks(session, attempt.worker, {{&attempt, {"success"}}});
  for (const TaskNews& each : news) {
    if (each.key == attempt.key) return news;
  }
  throw Error(ExitCode::failed, "the task was taken from this process meanwhile: what it wrote is undone");
}

work::Outcome written(RunningTask& running, std::vector<TaskNews> news) {
  running.attempt.result.written.set();
  running.attempt.result.news = std::move(news);
  const auto& all = running.attempt.result.news;
  if (std::any_of(all.begin(), all.end(),
                  [](const TaskNews& each) { return each.state == TaskNews::State::ready; }))
    running.successors_ready();
  return work::Outcome::done();
}

bool was_committed(RunningTask& running) {
  pg::Session session =
      running.at.connector->connect(pg::Role::task, "p" + std::to_string(running.attempt.worker),
                                    pg::Limit::within(std::chrono::seconds(30)));
  const TaskKey& key = running.attempt.key;
  // The row is locked while the old session is still at its COMMIT.
  pg::Transaction transaction(session);
  session.execute("SELECT FROM weir.task WHERE run_id = $1 AND task_no = $2 AND item = $3 FOR UPDATE",
                  key.run, key.no, key.item);
  const auto rows = session.run<sql::StillOwnsTask>(running.attempt.worker, running.attempt.claim, key.run,
                                                    key.no, key.item);
  return !rows.one().owns;
}

pg::Session connect_elsewhere(RunningTask& running, const std::string& connection) {
  const auto found = running.at.connections.find(connection);
  if (found == running.at.connections.end()) {
    throw Error(ExitCode::failed,
                fmt::format("the connection {} is not in the weir.yml of this worker", connection),
                "weir up and weir worker read it when they start.");
  }
  const std::string url =
      bind_template(found->second, TemplateUse::value, running.context, running.at.project, &running.log);
  pg::Connector::Options options = running.at.connector->options();
  options.users_search_path = true;
  return pg::Connector(pg::Conninfo::parse(url), options)
      .connect(pg::Role::task, "p" + std::to_string(running.attempt.worker), {.stop = running.stop});
}

}  // namespace weir::pipeline
