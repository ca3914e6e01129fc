#include "work/runtime.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "schema/queries/work.h"

namespace weir::work {
namespace {

constexpr BackoffPolicy kRuntimeRetry{.base = std::chrono::milliseconds(50), .cap = std::chrono::seconds(5)};

/// Who is full and left work behind wakes others for it, so often at most.
constexpr Duration kPassOnInterval = std::chrono::milliseconds(50);

SteadyTime now() { return std::chrono::steady_clock::now(); }

}  // namespace

Runtime::Runtime(std::shared_ptr<const pg::Connector> connector, Process& process, ClaimSource& source,
                 HandlerFactory factory, RuntimeOptions options)
    : connector_(std::move(connector)),
      process_(process),
      source_(source),
      factory_(std::move(factory)),
      options_(options),
      appetite_{.slots = options.slots},
      inbox_(room_),
      completer_(*connector_, source_, inbox_),
      slots_(*connector_, inbox_, completer_),
      keeper_(*connector_, process_, source_,
              [this](const std::vector<std::int64_t>& ids) { inbox_.stop_items(ids); }),
      idle_({.longest = options.longest_sleep, .can_be_woken = options.can_be_woken}),
      bed_(*connector_, source.topics()) {
  source_.on_keep_soon([this] { keeper_.poke(); });
  source_.on_claim_soon([this] {
    claim_soon_ = true;
    room_.notify();
  });
}

Runtime::~Runtime() { stop(); }

void Runtime::run(const std::stop_token& stop, const std::function<void()>& ready) {
  slots_.start(options_.slots, factory_);
  completer_.start();
  keeper_.start();
  ready();
  fetch(stop);
  drain();
  slots_.join();
  completer_.stop();
  keeper_.stop();
  session_.reset();
}

void Runtime::fetch(const std::stop_token& stop) {
  for (int failures = 0; !stop.stop_requested();) {
    try {
      const auto life = process_.life(stop);
      if (!life) return;
      if (!look(life, stop)) {
        finished_.notify();
        return;
      }
      failures = 0;
    } catch (const std::exception& error) {
      if (stop.stop_requested()) return;
      log::warn("claiming failed", {{"source", source_.name()}, {"error", error.what()}});
      bed_.leave();  // it may be lost too, and would say so in here
      wait_until(now() + backoff_delay(kRuntimeRetry, ++failures, random_unit()), std::nullopt, stop);
    }
  }
}

bool Runtime::look(const std::shared_ptr<Life>& life, const std::stop_token& stop) {
  if (options_.can_be_woken) bed_.make(*life, stop);
  claim_soon_ = false;  // what is told from here on, this look may miss
  const std::size_t held = inbox_.in_flight();
  const auto pace = inbox_.pace();
  const std::size_t room =
      options_.prefetch ? appetite_.wanted(pace, held) : options_.slots - std::min(options_.slots, held);
  const std::size_t wanted =
      source_.claims_for_one_slot() ? std::min(room, appetite_.of_one_slot(pace)) : room;
  if (wanted == 0) {
    pass_on(*life, stop);
    wait_until(more_ ? pass_on_due_ : SteadyTime::max(), held, stop);
    return true;
  }
  // In this order: what those wrote who had ended by then, the claim sees.
  const bool lying = bed_.lying();
  const bool decided = lying && bed_.decided();
  const bool thorough = decided && !woken_;  // who comes to look by himself looks once, and everywhere
  auto claim = this->claim(life, wanted, thorough, stop);
  const bool last_look = !thorough && (decided || options_.once);
  if (!claim && last_look) claim = this->claim(life, wanted, true, stop);
  if (claim) {
    const std::size_t found = claim->items().size();
    more_ = found >= wanted;
    woken_ = false;
    idle_.found_work();
    hand_out(life, claim);
    bed_.get_up();
    if (!more_) wait_until(now() + Idle::gather(found), std::nullopt, stop);
    return true;
  }
  more_ = false;
  // Woken for nothing: it may be due in a moment, and that is the keeper's to see.
  if (std::exchange(woken_, false)) keeper_.poke();
  if (options_.once && inbox_.in_flight() == 0 && !source_.has_more(session(*life, stop))) return false;
  rest(idle_.found_nothing(lying, decided), held, stop);
  return true;
}

std::shared_ptr<Claim> Runtime::claim(const std::shared_ptr<Life>& life, std::size_t wanted, bool thorough,
                                      const std::stop_token& stop) {
  pg::Session& session = this->session(*life, stop);
  if (in_doubt_ == life) source_.resolve(session, *life);
  in_doubt_ = life;
  auto claim = source_.claim(session, *life, wanted, thorough);
  in_doubt_ = nullptr;
  return claim;
}

void Runtime::resolve_doubt() noexcept {
  if (!in_doubt_ || in_doubt_->is_lost()) return;
  try {
    source_.resolve(session(*in_doubt_, in_doubt_->lost()), *in_doubt_);
  } catch (const std::exception& error) {
    log::warn("the last claim may have to be rescued by others", {{"error", error.what()}});
  }
}

/// models/wakeup.pml: `pass_on`.
void Runtime::pass_on(const Life& life, const std::stop_token& stop) {
  if (!more_ || !options_.can_be_woken || now() < pass_on_due_) return;
  for (const std::string& topic : source_.topics()) session(life, stop).run<sql::WakeTopic>(topic, 2);
  pass_on_due_ = now() + kPassOnInterval;
}

void Runtime::hand_out(const std::shared_ptr<Life>& life, const std::shared_ptr<Claim>& claim) {
  const auto items = claim->items();
  const std::size_t size =
      claim->timeout() ? 1 : std::min(appetite_.portion(items.size()), options_.most_in_batch);
  const auto wall = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  const auto alone = [&](std::size_t i) { return claim->is_heavy(i) || items[i].deadline; };
  std::vector<Portion> portions;
  for (std::size_t first = 0; first < items.size();) {
    std::size_t end = claim->in_order() ? items.size() : first + 1;
    if (!claim->in_order() && !alone(first)) {
      while (end < items.size() && end - first < size && !alone(end)) ++end;
    }
    portions.push_back({life, claim, first, end - first});
    first = end;
  }
  // What is too late is not begun.
  const auto late = std::stable_partition(portions.begin(), portions.end(), [&](const Portion& portion) {
    const auto deadline = portion.items().front().deadline;
    return !deadline || *deadline > wall;
  });
  std::vector<Portion> begun_too_late(std::make_move_iterator(late), std::make_move_iterator(portions.end()));
  portions.erase(late, portions.end());
  inbox_.push(std::move(portions));
  for (Portion& portion : begun_too_late) {
    inbox_.expect(portion.count);
    completer_.push(
        {portion.life, portion.claim, portion.first,
         std::vector<Outcome>(portion.count, Outcome::discarded("its deadline passed before it was begun"))});
  }
}

void Runtime::rest(const Idle::Action& action, std::size_t held, const std::stop_token& stop) {
  switch (action.step) {
    case Idle::Step::lie_down: bed_.lie_down(); return;
    case Idle::Step::look_later: break;
    case Idle::Step::sleep:
      if (options_.asleep != nullptr) options_.asleep->emit(0);
      break;
  }
  const auto source_wants = source_.next_look();
  const Duration pause = source_wants ? std::min(action.pause, *source_wants) : action.pause;
  // Others' work that ends makes room in a limited queue, and the end of all is what `once` waits for.
  const bool for_room = source_wants.has_value() || options_.once;
  wait_until(now() + pause, for_room ? std::optional(held) : std::nullopt, stop);
}

void Runtime::wait_until(SteadyTime time, std::optional<std::size_t> held, const std::stop_token& stop) {
  while (!stop.stop_requested() && now() < time) {
    const auto overdue = inbox_.stop_overdue(now());
    const Bed::Heard heard = bed_.wait(Deadline(std::min(time, overdue.value_or(time))), stop, room_);
    if (heard.cancel) keeper_.poke();
    woken_ = woken_ || heard.wake;
    for (const std::string& topic : heard.about) source_.hear(topic);
    if (heard.wake || claim_soon_.exchange(false) || (held && inbox_.in_flight() < *held)) return;
  }
}

void Runtime::drain() {
  bed_.get_up();  // who begins nothing any more is not to be woken
  std::vector<Portion> unbegun = inbox_.take_unbegun();
  for (Portion& portion : unbegun) {
    completer_.push({portion.life, portion.claim, portion.first,
                     std::vector<Outcome>(portion.count, Outcome::returned())});
  }
  resolve_doubt();
  bed_.hand_over();
  const SteadyTime end = now() + options_.drain;
  bool ended = false;
  const bool had_some = inbox_.in_flight() > 0;
  while (inbox_.in_flight() > 0) {
    if (!ended && now() >= end) {
      log::warn("handlers are stopped before they are done", {{"items", inbox_.in_flight()}});
      ended = true;
      inbox_.stop_all();
    }
    const auto overdue = inbox_.stop_overdue(now());
    const SteadyTime next = ended ? now() + std::chrono::seconds(1) : end;
    wait_fd(-1, 0, Deadline(std::min(next, overdue.value_or(next))), {}, room_);
  }
  // What has ended since then may have made more ready.
  if (had_some) bed_.hand_over();
  bed_.leave();
}

pg::Session& Runtime::session(const Life& life, const std::stop_token& stop) {
  if (!session_ || !session_->is_open() || session_life_ != life.id()) {
    session_.reset();
    session_.emplace(connector_->connect(pg::Role::poll, life.session_id(), {.stop = stop}));
    // A claim that is lost in a crash of the server is a repeat, and what was done under it is refused. Not
    // where order is kept: this process goes on with it, and somebody else would begin beside it.
    if (session_->keeps_state() && !source_.claims_for_one_slot()) session_->set("synchronous_commit", "off");
    session_life_ = life.id();
  }
  session_->set_stop(stop);
  return *session_;
}

}  // namespace weir::work
