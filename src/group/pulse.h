#pragma once

#include <condition_variable>
#include <exception>
#include <stop_token>
#include <thread>

#include "base/clock.h"
#include "base/mutex.h"
#include "group/group_connection.h"

namespace weir::group {

/// The heartbeat of a group while a sink works outside of its connection. It has the connection; whoever
/// wants it back ends the heartbeat first, and waits for that. A renewal that fails is tried again as long as
/// the connection stands; one that is refused is the end.
class Pulse {
 public:
  /// `on_loss` is called once, in the pulse's thread.
  Pulse(OwnedGroup group, Duration every, std::function<void()> on_loss);
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;
  ~Pulse() = default;

  /// Whether the group is ours just now; false, too, where that cannot be found out.
  bool verify() noexcept;
  /// Ends it. The group may have been lost meanwhile: its verbs will tell.
  OwnedGroup stop() &&;

 private:
  void beat(const std::stop_token& stop);
  bool renew() noexcept WEIR_REQUIRES(mutex_);

  const Duration every_;
  const std::function<void()> on_loss_;
  Mutex mutex_;
  std::condition_variable_any ended_;
  OwnedGroup group_ WEIR_GUARDED_BY(mutex_);
  std::jthread thread_;  // last: it uses the others
};

}  // namespace weir::group
