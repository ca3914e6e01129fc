#pragma once

#include <string_view>

#include "base/backoff.h"
#include "pipeline/run/task_attempt.h"
#include "work/outcome.h"

namespace weir::pipeline {

/// What weir.finish_tasks() is to make of an attempt.
struct Ending {
  std::string_view state;  ///< success, failed, skipped, retry_wait, ready
  Duration delay = Duration::zero();
  bool counts = true;  ///< as a failure, where it is tried again
};

inline Duration retry_delay(const Retry& retry, int failures, double random) noexcept {
  const BackoffPolicy policy{.base = retry.delay,
                             .cap = retry.max_delay,
                             .factor = retry.exponential ? 2.0 : 1.0,
                             .jitter = retry.jitter ? 0.2 : 0.0};
  return backoff_delay(policy, failures, random);
}

/// What becomes of a task after an attempt. Pure. `failures`: those before this attempt.
inline Ending decide_ending(const work::Outcome& outcome, const TaskResult& result, int failures,
                            double random) noexcept {
  using Kind = work::Outcome::Kind;
  const bool again = failures + 1 < result.retry.attempts;
  switch (outcome.kind()) {
    case Kind::done: return {result.skipped ? "skipped" : "success"};
    case Kind::failed:
      return again ? Ending{"retry_wait", retry_delay(result.retry, failures + 1, random)} : Ending{"failed"};
    case Kind::retry: return again ? Ending{"retry_wait", outcome.delay()} : Ending{"failed"};
    case Kind::snoozed: return {"retry_wait", outcome.delay(), false};
    case Kind::discarded: return {"failed"};
    case Kind::returned:
    case Kind::open: break;
  }
  return {"ready"};
}

}  // namespace weir::pipeline
