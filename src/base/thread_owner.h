#pragma once

#include <thread>

namespace weir {

/// Remembers which thread may use an object. In debug builds a use from another thread stops the process at
/// once, with both threads in the message; in release builds it costs nothing.
class ThreadOwner {
 public:
#ifdef WEIR_DEBUG_CHECKS
  void check(const char* what) const noexcept {
    if (owner_ != std::this_thread::get_id()) stop_process(what);
  }
  /// Hands the object to the calling thread. Only for owners that pass it on under a lock, such as the pool.
  void rebind() noexcept { owner_ = std::this_thread::get_id(); }

 private:
  [[noreturn]] void stop_process(const char* what) const noexcept;
  std::thread::id owner_ = std::this_thread::get_id();
#else
  void check(const char* /*what*/) const noexcept {}
  void rebind() noexcept {}
#endif
};

}  // namespace weir
