#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace weir {

/// What became of one item, such as a job. Everything but `open` is final for this attempt.
class Outcome {
 public:
  using Duration = std::chrono::nanoseconds;

  enum class Kind : std::int8_t {
    open,       ///< not settled yet
    done,       ///< with an optional result
    failed,     ///< tried again after the source's backoff, while attempts are left
    retry,      ///< failed, and tried again after the delay it names
    snoozed,    ///< not now: tried again after the delay, and the attempt does not count
    discarded,  ///< failed for good: to the dead letters, whatever attempts are left
    returned,   ///< handed back untouched, the attempt does not count: the process is stopping
  };

  Outcome() = default;
  /// `result` is JSON text, or empty.
  static Outcome done(std::string result = {}) { return {Kind::done, std::move(result), Duration::zero()}; }
  static Outcome failed(std::string reason) { return {Kind::failed, std::move(reason), Duration::zero()}; }
  static Outcome retry(Duration delay, std::string reason) { return {Kind::retry, std::move(reason), delay}; }
  static Outcome snoozed(Duration delay, std::string reason = {}) {
    return {Kind::snoozed, std::move(reason), delay};
  }
  static Outcome discarded(std::string reason) {
    return {Kind::discarded, std::move(reason), Duration::zero()};
  }
  static Outcome returned() { return {Kind::returned, {}, Duration::zero()}; }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is_open() const noexcept { return kind_ == Kind::open; }
  [[nodiscard]] bool is_done() const noexcept { return kind_ == Kind::done; }
  /// The result of what is done, the reason of what failed or waits.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] Duration delay() const noexcept { return delay_; }

 private:
  Outcome(Kind kind, std::string text, Duration delay) : kind_(kind), text_(std::move(text)), delay_(delay) {}

  Kind kind_ = Kind::open;
  std::string text_;
  Duration delay_ = Duration::zero();
};

}  // namespace weir
