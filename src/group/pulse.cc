#include "group/pulse.h"

#include <utility>

#include "base/log.h"

namespace weir::group {

Pulse::Pulse(OwnedGroup group, Duration every, std::function<void()> on_loss)
    : every_(every),
      on_loss_(std::move(on_loss)),
      group_(std::move(group)),
      thread_([this](const std::stop_token& stop) { beat(stop); }) {}

bool Pulse::verify() noexcept {
  const MutexLock lock(mutex_);
  try {
    group_.hand_over();
    return group_.is_open() && group_.verify();
  } catch (const std::exception& error) {
    log::warn("whether a group is still ours cannot be found out",
              {{"group", to_string(group_.group())}, {"error", error.what()}});
    return false;
  }
}

OwnedGroup Pulse::stop() && {
  thread_.request_stop();
  thread_.join();
  const MutexLock lock(mutex_);
  group_.hand_over();
  return std::move(group_);
}

void Pulse::beat(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  for (;;) {
    ended_.wait_for(lock, stop, every_, [] { return false; });
    if (stop.stop_requested()) return;
    if (renew()) continue;
    on_loss_();
    return;
  }
}

bool Pulse::renew() noexcept {
  try {
    group_.hand_over();
    if (group_.renew()) return true;
    log::warn("a group was lost while its batch was applied", {{"group", to_string(group_.group())}});
    return false;
  } catch (const std::exception& error) {
    log::warn("a heartbeat failed", {{"group", to_string(group_.group())}, {"error", error.what()}});
    return group_.is_open();
  }
}

}  // namespace weir::group
