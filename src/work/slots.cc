#include "work/slots.h"

#include <exception>

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
    Batch batch(portion.items(), running.stop());
    try {
      load(portion, running.stop());
      run_guarded(handler, batch, &running);
    } catch (const std::exception& error) {
      log::warn("a payload could not be read: its job is tried again", {{"error", error.what()}});
      if (!running.stop().stop_requested()) batch.settle_rest(Outcome::snoozed(kLoadAgain));
      settle_open(batch, &running);
    }
    portion.claim->unload(portion.first);
    outcomes = std::move(batch).outcomes();
  }
  const SteadyTime ended = std::chrono::steady_clock::now();
  inbox_.measured(portion.count, ended - began);
  completer_.push({portion.life, portion.claim, portion.first, std::move(outcomes), began, ended});
}

void Slots::load(const Portion& portion, const std::stop_token& stop) const {
  if (!portion.claim->is_heavy(portion.first)) return;
  pg::Session session = connector_.connect(pg::Role::task, portion.life->session_id(), {.stop = stop});
  session.set_stop(stop);
  portion.claim->load(portion.first, session);
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
