#include "work/slots.h"

#include <exception>
#include <utility>

#include "base/log.h"
#include "work/process.h"
#include "work/run_watch.h"

namespace weir::work {
namespace {

/// Handed back at once it would be claimed at once, and go round as fast as the server can.
constexpr Duration kLoadAgain = std::chrono::seconds(1);

}  // namespace

void Slots::start(std::size_t count, const HandlerFactory& factory) {
  for (std::size_t i = 0; i < count; ++i) handlers_.push_back(factory());
  for (const auto& handler : handlers_) {
    threads_.emplace_back([this, &handler = *handler](const std::stop_token& stop) {
      while (const auto portion = inbox_.pop(stop)) work(handler, *portion);
    });
  }
}

void Slots::join() noexcept {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  handlers_.clear();
}

void Slots::work(Handler& handler, const Portion& portion) {
  const SteadyTime began = std::chrono::steady_clock::now();
  std::vector<Outcome> outcomes;
  {
    const Inbox::Running running(inbox_, portion);
    outcomes = portion.claim->in_order() ? run_in_order(handler, portion, running)
                                         : run(handler, portion, 0, portion.count, running);
  }
  const SteadyTime ended = std::chrono::steady_clock::now();
  inbox_.measured(outcomes.size(), ended - began);
  outcomes.resize(portion.count, Outcome::returned());
  completer_.push({portion.life, portion.claim, portion.first, std::move(outcomes), began, ended});
}

std::vector<Outcome> Slots::run(Handler& handler, const Portion& portion, std::size_t first,
                                std::size_t count, const Inbox::Running& running) const {
  Batch batch(portion.items().subspan(first, count), running.stop());
  try {
    load(portion, portion.first + first, running.stop());
    run_guarded(handler, batch, &running);
  } catch (const std::exception& error) {
    log::warn("a payload could not be read: its job is tried again", {{"error", error.what()}});
    if (!running.stop().stop_requested()) batch.settle_rest(Outcome::snoozed(kLoadAgain));
    settle_open(batch, &running);
  }
  portion.claim->unload(portion.first + first);
  return std::move(batch).outcomes();
}

std::vector<Outcome> Slots::run_in_order(Handler& handler, const Portion& portion,
                                         const Inbox::Running& running) const {
  std::vector<Outcome> outcomes;
  outcomes.reserve(portion.count);
  while (outcomes.size() < portion.count) {
    outcomes.push_back(std::move(run(handler, portion, outcomes.size(), 1, running).front()));
    const Outcome::Kind kind = outcomes.back().kind();
    if (kind != Outcome::Kind::done && kind != Outcome::Kind::discarded) break;
  }
  return outcomes;
}

void Slots::load(const Portion& portion, std::size_t index, const std::stop_token& stop) const {
  if (!portion.claim->is_heavy(index)) return;
  pg::Session session = connector_.connect(pg::Role::task, portion.life->session_id(), {.stop = stop});
  session.set_stop(stop);
  portion.claim->load(index, session);
}

void run_guarded(Handler& handler, Batch& batch, const Inbox::Running* running) {
  try {
    if (!batch.stop().stop_requested()) handler.run(batch);
  } catch (const std::exception& error) {
    batch.settle_rest(Outcome::failed(error.what()));
  } catch (...) {
    batch.settle_rest(Outcome::failed("the handler threw something that is no exception"));
  }
  settle_open(batch, running);
}

void settle_open(Batch& batch, const Inbox::Running* running) {
  if (batch.open() == 0) return;
  if (running != nullptr && running->timed_out()) {
    batch.settle_rest(Outcome::failed(std::string(kRanOver)));
  } else if (batch.stop().stop_requested()) {
    batch.settle_rest(Outcome::returned());
  } else {
    batch.settle_rest(Outcome::failed("the handler came back without an outcome"));
  }
}

}  // namespace weir::work
