#include "pipeline/run/load_and_finish.h"

#include <utility>

#include <fmt/format.h>

#include "load/load.h"
#include "load/write/state.h"
#include "pg/error.h"
#include "pipeline/run/load_words.h"
#include "pipeline/run/timed_stop.h"

namespace weir::pipeline {
namespace {

constexpr Duration kAfterAnother = std::chrono::milliseconds(100);

load::LoadReport load(RunningTask& running, LoadOrder& order, const std::stop_token& stop) {
  load::OpenedSource source = load::open_source(order.source, stop);
  if (order.options.source.empty()) {
    order.options.source = source.label;
    order.options.fingerprint = source.fingerprint;
  }
  order.options.reopen = source.reopen;
  load::Load load(running.at.connector, std::move(source.reader), std::move(order.options));
  return load.run(stop);
}

}  // namespace

work::Outcome load_and_finish(RunningTask& running, LoadOrder order,
                              const std::function<void(pg::Session&)>& check) {
  std::vector<TaskNews> news;
  order.options.apply.before_commit = [&](pg::Session& session) {
    if (check) check(session);
    news = finish_in_transaction(session, running.attempt);
  };
  order.options.pipeline = running.pipeline.name;
  // Each task, and each of its pieces, has a state of its own: beside each other they would refuse one
  // another.
  if (order.options.stream.empty()) {
    const std::int32_t item = running.attempt.key.item;
    order.options.stream = item < 0 ? running.task.name : fmt::format("{}/{}", running.task.name, item);
  }
  work::Outcome outcome;
  order.options.on_committed = [&] { outcome = written(running, std::move(news)); };
  order.options.shown_error = [&](std::string text) { return running.log.without_secrets(std::move(text)); };
  const std::string target = order.options.target;
  TimedStop limit(running.stop, running.deadline);
  try {
    const load::LoadReport report = load(running, order, limit.token());
    for (const std::string& words : load_words(target, report)) running.log.say(words);
  } catch (const load::StateMoved& error) {
    // The same task of another run was faster. That is no failure, and cannot go on for ever: one of them
    // wins.
    running.log.say(error.what());
    return work::Outcome::snoozed(kAfterAnother);
  } catch (const pg::InDoubt&) {
    throw;  // it may be written
  } catch (const std::exception&) {
    if (limit.timed_out()) throw TookTooLong(running.task);
    throw;
  }
  return outcome;
}

}  // namespace weir::pipeline
