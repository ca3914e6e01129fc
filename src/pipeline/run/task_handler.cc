#include "pipeline/run/task_handler.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "pg/error.h"

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

/// A server that went away under a transaction has undone it: that is nobody's failure. But what takes the
/// server down each time must not go on for ever.
constexpr int kMostBegun = 10;
constexpr Duration kBeginAgain = std::chrono::seconds(1);

work::Outcome failure(const RunningTask& running, const std::exception& error) {
  if (const auto* known = dynamic_cast<const pg::Error*>(&error)) {
    const bool undone = !std::holds_alternative<RunBody>(running.task.body) && !running.session.is_open() &&
                        known->kind() == pg::ErrorKind::lost;
    if (undone && running.attempt.attempt < kMostBegun) return work::Outcome::snoozed(kBeginAgain);
    if (known->kind() == pg::ErrorKind::deadline && running.task.timeout)
      return work::Outcome::failed(
          fmt::format("it took longer than its timeout of {}", human_duration(*running.task.timeout)));
  }
  std::string text = error.what();
  if (const auto* ours = dynamic_cast<const Error*>(&error); ours != nullptr && !ours->remedy().empty())
    text += fmt::format(" ({})", ours->remedy());
  return work::Outcome::failed(std::move(text));
}

}  // namespace

void TaskHandler::run(work::Batch& batch) {
  const auto attempt = in_flight_.find(batch.items().front().id);
  if (!attempt) return;  // it was dropped meanwhile: left open, it is handed back
  const work::Outcome outcome = run_task(*attempt, batch.stop());
  if (!outcome.is_open()) batch.settle(0, outcome);
}

work::Outcome TaskHandler::run_task(TaskAttempt& attempt, const std::stop_token& stop) {
  pg::Session& session = this->session(attempt, stop);
  const auto definition = definitions_.get(session, attempt.pipeline, attempt.version);
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
                      .log = log};
  work::Outcome outcome;
  try {
    outcome = run_body(running);
  } catch (const std::exception& error) {
    // Its end was committed: whatever failed after that is not its failure.
    if (attempt.result.written) {
      outcome = work::Outcome::done();
    } else if (!stop.stop_requested()) {
      outcome = failure(running, error);
      log.say(outcome.text());
    }
  }
  // Before the log is stored: they need not wait for that.
  const auto& news = attempt.result.news;
  if (std::any_of(news.begin(), news.end(),
                  [](const TaskNews& each) { return each.state == TaskNews::State::ready; }))
    successors_ready_();
  // What a cancelled command has said is wanted most of all.
  if (stop.stop_requested()) session.set_stop({});
  if (session.is_open()) log.store(session);
  if (!outcome.is_done()) session_.reset();  // it may have been left with settings of the task
  return outcome;
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
