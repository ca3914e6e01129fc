#include "work/keeper.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "schema/queries/work.h"
#include "work/process.h"

namespace weir::work {
namespace {

constexpr BackoffPolicy kKeeperRetry{.base = std::chrono::milliseconds(100), .cap = std::chrono::seconds(5)};

constexpr Duration kRescueAnyway = std::chrono::seconds(30);

}  // namespace

void Keeper::run(const std::stop_token& stop, const std::function<void()>& ready) {
  ready();
  std::optional<pg::Session> session;
  bool poked = true;
  std::int64_t named_for = 0;
  for (int failures = 0; !stop.stop_requested();) {
    Duration pause{};
    try {
      const auto life = process_.life(stop);
      if (!life) break;
      if (!session || !session->is_open() || named_for != life->id()) {
        session.reset();
        session.emplace(connector_.connect(pg::Role::recovery, life->session_id(), {.stop = stop}));
        session->set_stop(stop);
        named_for = life->id();
      }
      pause = round(*session, *life, poked);
      failures = 0;
      poked = false;
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      pause = backoff_delay(kKeeperRetry, ++failures, random_unit());
      log::warn("a round of housekeeping failed", {{"source", source_.name()}, {"error", error.what()}});
    }
    // What a round that failed was to look for, the next one looks for.
    poked = wait_fd(-1, 0, Deadline::after(pause), stop, poked_) == WaitEnd::woken || poked;
  }
}

Duration Keeper::round(pg::Session& session, const Life& life, bool poked) {
  const SteadyTime now = std::chrono::steady_clock::now();
  // In a new life there is our own old one to be rescued.
  if (std::exchange(life_, life.id()) != life.id()) rescue_due_ = now;
  const auto declared = session.run<sql::DeclareDead>();
  for (const auto& process : declared) {
    log::warn("a process is dead: its work goes to others",
              {{"process", process.id}, {"name", process.name}});
    rescue_due_ = now;
  }
  const bool rescue = now >= rescue_due_;
  if (rescue) {
    // All that are dead: who declared one dead may have died before he was done with it.
    const auto dead = session.run<sql::DeadProcesses>();
    for (const auto& process : dead) {
      session.run<sql::HangUpFor>(process.id);
      session.run<sql::WakeFor>(process.id);
    }
    source_.rescue(session);
    session.run<sql::BuryProcesses>();
    rescue_due_ = now + kRescueAnyway;
  }
  const Duration next = source_.keep(session, life);
  if (rescue || poked) on_cancelled_(source_.cancelled(session, life));
  // A third of the lease: so a dead process is noticed within a lease and a third.
  return std::min(next, process_.options().lease / 3);
}

}  // namespace weir::work
