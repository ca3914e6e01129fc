#include "pipeline/run/task_handler.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/text.h"
#include "base/wait.h"
#include "pg/error.h"
#include "pipeline/run/task_endings.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline {
namespace {

TaskContext context_of(const TaskAttempt& attempt, const PipelineDefinition& pipeline,
                       const TaskDefinition& task) {
  TaskContext context{.pipeline = pipeline.name,
                      .run = attempt.key.run,
                      .task = task.name,
                      .attempt = attempt.attempt,
                      .logical_time = attempt.logical_at,
                      .interval = {attempt.interval_start, attempt.interval_end},
                      .params = attempt.params};
  if (!attempt.element.empty()) context.item = attempt.element;
  return context;
}

constexpr Duration kBeginAgain = std::chrono::seconds(1);
/// For a log that is left when its task was stopped.
constexpr Duration kLogSpan = std::chrono::seconds(2);
constexpr BackoffPolicy kLogRetry{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(2)};

/// The server takes no writes just now.
constexpr std::string_view kReadOnly = "25006";

/// Our own session, which nobody uses just now. Server processes do not end all at once.
bool has_gone(pg::Session& session) {
  if (!session.is_open() || !session.still_alive()) return true;
  Wakeup unused;
  try {
    session.wait_readable(pg::Limit::within(kBeginAgain), unused);
    return !session.still_alive();
  } catch (const pg::Error&) {
    return true;
  }
}

/// Whether the server failed, and not the task: then the transaction was undone, and is begun again. A
/// program is not asked about: what it fails with is no error of ours.
bool is_the_servers(const RunningTask& running, const pg::Error& error) {
  const auto* sql = std::get_if<SqlBody>(&running.task.body);
  const bool elsewhere = sql != nullptr && !sql->connection.empty();
  switch (error.kind()) {
    case pg::ErrorKind::lost:
    case pg::ErrorKind::connect: return has_gone(running.session);
    case pg::ErrorKind::in_doubt: return !elsewhere;  // where it was kept, the outcome is refused
    case pg::ErrorKind::server:
      return !elsewhere && (error.sqlstate() == kReadOnly ||
                            (error.sqlstate() == kNoPartition && error.info().table.starts_with("task_")));
    default: return false;
  }
}

/// On our session.
bool runs_sql_of_users(const TaskDefinition& task) {
  return std::holds_alternative<SqlBody>(task.body) || std::holds_alternative<ModelBody>(task.body) ||
         std::holds_alternative<WaitBody>(task.body) || !task.when.empty() || task.map.has_value();
}

work::Outcome failure(RunningTask& running, const std::exception& error) {
  if (const auto* known = dynamic_cast<const pg::Error*>(&error)) {
    if (is_the_servers(running, *known)) {
      running.attempt.result.lost = running.log.without_secrets(known->what());
      return work::Outcome::snoozed(kBeginAgain);
    }
    // Our own statements have a limit of their own.
    if (known->kind() == pg::ErrorKind::deadline && running.deadline.expired())
      return work::Outcome::failed(TookTooLong(running.task).what());
  }
  std::string text = error.what();
  if (const auto* ours = dynamic_cast<const Error*>(&error); ours != nullptr && !ours->remedy().empty())
    text += fmt::format(" ({})", ours->remedy());
  return work::Outcome::failed(running.log.without_secrets(std::move(text)));
}

}  // namespace

void TaskHandler::run(work::Batch& batch) {
  const auto attempt = in_flight_.find(batch.items().front().id);
  if (!attempt) return;  // it was dropped meanwhile: left open, it is handed back
  const work::Outcome outcome = run_task(*attempt, batch.stop());
  if (!outcome.is_open()) batch.settle(0, outcome);
}

work::Outcome TaskHandler::run_task(TaskAttempt& attempt, const std::stop_token& stop) {
  std::shared_ptr<const PipelineDefinition> definition;
  try {
    definition = definitions_.get(session(attempt, stop), attempt.pipeline, attempt.version);
  } catch (const pg::Error& error) {
    session_.reset();
    if (stop.stop_requested()) return work::Outcome::returned();
    log::warn("a task could not begin; it is tried again",
              {{"run", attempt.key.run}, {"error", error.what()}});
    return work::Outcome::snoozed(kBeginAgain);
  } catch (const std::exception& error) {
    return leave_to_others(attempt, error);
  }
  pg::Session& session = *session_;
  const TaskDefinition& task = definition->tasks.at(static_cast<std::size_t>(attempt.key.no));
  attempt.result.retry = task.retry;
  const TaskContext context = context_of(attempt, *definition, task);
  LogStore log(attempt);
  RunningTask running{.at = at_,
                      .pipeline = *definition,
                      .task = task,
                      .attempt = attempt,
                      .context = context,
                      .deadline = task.timeout ? Deadline::after(*task.timeout) : Deadline::never(),
                      .stop = stop,
                      .session = session,
                      .log = log,
                      .successors_ready = successors_ready_};
  work::Outcome outcome;
  try {
    outcome = run_body(running);
  } catch (const std::exception& error) {
    // Its end was committed: whatever failed after that is not its failure.
    if (attempt.result.written.is_set()) {
      outcome = work::Outcome::done();
    } else if (!stop.stop_requested()) {
      outcome = failure(running, error);
      log.say(attempt.result.lost.empty() ? outcome.text() : attempt.result.lost);
    }
  }
  if (!log.empty()) store_log(log, attempt, stop);
  if (!outcome.is_done()) {
    session_.reset();  // in the middle of anything
  } else if (runs_sql_of_users(task)) {
    clean_session();
  }
  return outcome;
}

/// It is claimed here no more, and handed back as it was.
work::Outcome TaskHandler::leave_to_others(const TaskAttempt& attempt, const std::exception& reason) {
  log::error("tasks are left to other workers: their definition cannot be read here",
             {{"run", attempt.key.run}, {"version", attempt.version}, {"error", reason.what()}});
  try {
    session_->run<sql::LeaveToOthers>(attempt.worker, attempt.pipeline, attempt.version,
                                      storable_text(reason.what()));
  } catch (const pg::Error& error) {
    session_.reset();
    log::warn("that could not be written down", {{"error", error.what()}});
  }
  return work::Outcome::returned();
}

void TaskHandler::store_log(LogStore& log, const TaskAttempt& attempt, const std::stop_token& stop) {
  for (int failures = 0;;) {
    // What was stopped has something to say, too; but not for long.
    const bool stopped = stop.stop_requested();
    try {
      if (!session_ || !session_->is_open()) {
        const std::stop_token stop_connecting = stopped ? std::stop_token() : stop;
        session_.emplace(at_.connector->connect(pg::Role::task, "p" + std::to_string(attempt.worker),
                                                pg::Limit::within(kLogSpan, stop_connecting)));
      }
      session_->set_stop(stopped ? std::stop_token() : stop);
      const Duration before = session_->options().timeout;
      if (stopped) session_->set_timeout(kLogSpan);
      log.store(*session_);
      session_->set_timeout(before);
      return;
    } catch (const std::exception& error) {
      const auto* known = dynamic_cast<const pg::Error*>(&error);
      const bool away = known != nullptr &&
                        (known->failure() == Failure::connection || known->kind() == pg::ErrorKind::stopped);
      // While the server is away nothing else could be done here; a stop comes with the loss of the lease.
      if (!away || stopped) {
        log::warn("a part of a task's log is lost", {{"run", attempt.key.run}, {"error", error.what()}});
        return;
      }
      Wakeup unused;
      wait_fd(-1, 0, Deadline::after(backoff_delay(kLogRetry, ++failures, random_unit())), stop, unused);
    }
  }
}

/// What a task has set, made or locked for its session would be there for the next one that runs here, and on
/// no other slot: tasks would depend on where they run. RESET ALL returns to what connecting has set. A
/// pooler cleans, as it is set up to, what its client has left.
void TaskHandler::clean_session() noexcept {
  if (!session_ || !session_->is_open()) return;
  if (!session_->keeps_state()) {
    session_.reset();
    return;
  }
  try {
    session_->set_stop({});
    session_->execute_script(
        "RESET ALL; DISCARD TEMP; CLOSE ALL; UNLISTEN *; SELECT pg_catalog.pg_advisory_unlock_all()");
  } catch (const std::exception& error) {
    log::debug("a session is made anew", {{"error", error.what()}});
    session_.reset();
  }
}

work::Outcome TaskHandler::run_body(RunningTask& running) {
  const TaskDefinition& task = running.task;
  if (running.attempt.key.item < 0) {
    if (!task.when.empty() && !is_true(running, running.session, task.when)) {
      running.attempt.result.skipped = true;
      running.log.say("skipped: what it has under `when` is not so");
      return work::Outcome::done();
    }
    if (task.map) return expand_task(running, *task.map);
  }
  struct Visitor {
    RunningTask& running;
    work::Outcome operator()(const SqlBody& body) const { return run_sql_body(running, body); }
    work::Outcome operator()(const RunBody& body) const { return run_command_body(running, body); }
    work::Outcome operator()(const LoadBody& body) const { return run_load_body(running, body); }
    work::Outcome operator()(const WaitBody& body) const { return run_wait_body(running, body); }
    work::Outcome operator()(const ModelBody& body) const { return run_model_body(running, body); }
  };
  return std::visit(Visitor{running}, task.body);
}

pg::Session& TaskHandler::session(const TaskAttempt& attempt, const std::stop_token& stop) {
  if (!session_ || !session_->is_open() || !session_->still_alive()) {
    session_.reset();
    session_.emplace(
        at_.connector->connect(pg::Role::task, "p" + std::to_string(attempt.worker), {.stop = stop}));
  }
  session_->set_stop(stop);
  return *session_;
}

}  // namespace weir::pipeline
