#include "work/transaction_runtime.h"

#include <algorithm>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"

namespace weir::work {
namespace {

constexpr BackoffPolicy kTransactionRuntimeRetry{.base = std::chrono::milliseconds(50),
                                                 .cap = std::chrono::seconds(5)};

}  // namespace

TransactionRuntime::TransactionRuntime(std::shared_ptr<const pg::Connector> connector, Process& process,
                                       TransactionSource& source, TakerFactory factory,
                                       RuntimeOptions options)
    : connector_(std::move(connector)),
      process_(process),
      source_(source),
      factory_(std::move(factory)),
      options_(options),
      keeper_(*connector_, process_, source_, [](const std::vector<std::int64_t>& /*ids*/) {}),
      idle_({.longest = options.longest_sleep, .can_be_woken = options.can_be_woken}),
      bed_(*connector_, source.topics()) {
  source_.on_keep_soon([this] { keeper_.poke(); });
}

void TransactionRuntime::run(const std::stop_token& stop, const std::function<void()>& ready) {
  TransactionSlots slots(*connector_, process_, options_.patience, room_);
  slots.start(options_.slots, factory_);
  keeper_.start();
  ready();
  for (int failures = 0; !stop.stop_requested();) {
    try {
      if (!look(slots, stop)) {
        finished_.notify();
        break;
      }
      failures = 0;
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      log::warn("looking for work failed", {{"error", error.what()}});
      bed_.leave();
      wait_fd(-1, 0, Deadline::after(backoff_delay(kTransactionRuntimeRetry, ++failures, random_unit())),
              stop, room_);
    }
  }
  bed_.get_up();  // who begins nothing any more is not to be woken
  drain(slots);
  slots.join();
  bed_.hand_over();
  keeper_.stop();
}

bool TransactionRuntime::look(TransactionSlots& slots, const std::stop_token& stop) {
  const auto life = process_.life(stop);
  if (!life) return true;
  if (options_.can_be_woken) bed_.make(*life, stop);
  const bool lying = bed_.lying();
  const bool decided = lying && bed_.decided();
  const bool thorough = decided && !woken_;  // who comes to look by himself looks once, and everywhere
  const bool last_look = !thorough && (decided || options_.once);
  const bool found = slots.round(thorough, stop) || (last_look && slots.round(true, stop));
  source_.tell_what_is_left_out();
  if (found) {
    woken_ = false;
    idle_.found_work();
    bed_.get_up();
    return true;
  }
  if (stop.stop_requested()) return true;
  // Woken for nothing: it may be due in a moment, and that is the keeper's to see.
  if (std::exchange(woken_, false)) keeper_.poke();
  const bool all_wait = slots.all_wait();
  if (options_.once && all_wait && nothing_left(stop)) return false;
  const Idle::Action action = idle_.found_nothing(lying, decided);
  if (action.step == Idle::Step::lie_down) {
    bed_.lie_down();
    return true;
  }
  if (action.step == Idle::Step::sleep && options_.asleep != nullptr) options_.asleep->emit(0);
  const SteadyTime until = std::chrono::steady_clock::now() + action.pause;
  // The end of all is what `once` waits for.
  const auto ended = [&] { return options_.once && !all_wait && slots.all_wait(); };
  while (!stop.stop_requested() && std::chrono::steady_clock::now() < until && !ended() && !woken_) {
    const Bed::Heard heard = bed_.wait(Deadline(until), stop, room_);
    for (const std::string& topic : heard.about) source_.hear(topic);
    woken_ = heard.wake;
  }
  return true;
}

bool TransactionRuntime::nothing_left(const std::stop_token& stop) {
  pg::Session session = connector_->connect(pg::Role::api, "once", {.stop = stop});
  return !source_.has_more_to_take(session);
}

void TransactionRuntime::drain(TransactionSlots& slots) {
  slots.close();
  if (slots.wait_ended(Deadline::after(options_.drain))) return;
  log::warn("handlers are stopped before they are done");
  slots.stop_handlers();
}

}  // namespace weir::work
