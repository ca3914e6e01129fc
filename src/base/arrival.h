#pragma once

#include <latch>
#include <utility>

namespace weir {

/// One of those who go on together. Who fails before does not keep the others.
class Arrival {
 public:
  explicit Arrival(std::latch& all) noexcept : all_(all) {}
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;
  ~Arrival() {
    if (!arrived_) all_.count_down();
  }

  /// From the second time on it does nothing.
  void wait_for_all() {
    if (!std::exchange(arrived_, true)) all_.arrive_and_wait();
  }

 private:
  std::latch& all_;
  bool arrived_ = false;
};

}  // namespace weir
