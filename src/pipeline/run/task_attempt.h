#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pipeline/define/definition.h"

namespace weir::pipeline {

/// Names a task of a run. item: -1 is the task itself, 0 and up are the pieces of a mapped one.
struct TaskKey {
  std::int64_t run = 0;
  std::int32_t no = 0;
  std::int32_t item = -1;
  auto operator<=>(const TaskKey&) const = default;
};

/// What the database answers about tasks after some have ended; see weir.finish_tasks().
struct TaskNews {
  enum class State : std::uint8_t {
    accepted,  ///< its end is stored, and its successors know
    untold,    ///< it has ended, and its successors are to be told
    ready,     ///< it may be claimed
    end,       ///< of the run: nothing of it is left to do
    other,
  };
  TaskKey key;
  State state = State::other;
};

/// Set once, while other threads look at it.
class OnceSet {
 public:
  OnceSet() = default;
  OnceSet(const OnceSet& other) noexcept : set_(other.is_set()) {}
  OnceSet& operator=(const OnceSet& other) noexcept {
    set_ = other.is_set();
    return *this;
  }
  ~OnceSet() = default;

  void set() noexcept { set_ = true; }
  [[nodiscard]] bool is_set() const noexcept { return set_; }

 private:
  std::atomic<bool> set_ = false;
};

/// What a handler leaves for whoever writes the outcome. Written by the slot that runs the task, read after
/// it has settled; `written` by any thread, at any time.
struct TaskResult {
  OnceSet written{};             ///< its end was committed with its data
  std::vector<TaskNews> news{};  ///< of that commit
  Retry retry{};                 ///< what its definition says
  bool skipped = false;
  std::string lost{};    ///< why the server undid it, where it is snoozed for that: counted like a death
  std::string output{};  ///< JSON text, or empty
  std::optional<std::vector<int>> follow{};  ///< the successors that it chose
  std::string usage{};                       ///< JSON text, or empty
};

/// One start of a task in this process.
struct TaskAttempt {
  std::int64_t id = 0;  ///< in this process, of its work::Item
  TaskKey key;
  std::int64_t worker = 0;
  std::int64_t claim = 0;
  int attempt = 1;
  int failures = 0;
  std::int32_t pipeline = 0;
  std::int32_t version = 0;
  WallTime logical_at{};
  WallTime interval_start{};
  WallTime interval_end{};
  std::string params;   ///< a JSON object
  std::string element;  ///< of a piece, JSON text
  TaskResult result{};
};

}  // namespace weir::pipeline
