#pragma once

#include <cstdint>
#include <string_view>

namespace weir::work {

/// Takes what running items say of themselves. Any thread; called as often as they say it, so an
/// implementation gathers.
class ProgressSink {
 public:
  ProgressSink() = default;
  ProgressSink(const ProgressSink&) = delete;
  ProgressSink& operator=(const ProgressSink&) = delete;
  virtual ~ProgressSink() = default;

  /// `share` of it is done, from 0 to 1.
  virtual void report(std::int64_t item, double share, std::string_view note) = 0;
  /// The item has ended, or does not run any more: nothing is left of what it said.
  virtual void forget(std::int64_t item) = 0;
};

}  // namespace weir::work
