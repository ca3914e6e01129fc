#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace weir {

/// What becomes of a new job whose unique key is taken.
enum class IfExists {
  ignore,      ///< the new one is dropped; enqueue() answers the id of who has the key
  replace,     ///< the new one takes the place of a job that still waits
  reschedule,  ///< a job that still waits stays as it is, and gets the new time
};

/// A job to be enqueued. All but the queue has a default.
struct NewJob {
  using Time = std::chrono::system_clock::time_point;
  using Span = std::chrono::microseconds;

  std::string queue{};                ///< made by the first job that names it
  std::string kind{};                 ///< which handler it is for
  std::string payload = "{}";         ///< JSON text
  int priority = 0;                   ///< -32768 (first) to 32767 (last)
  std::optional<Time> run_at{};       ///< not before this time
  std::optional<Span> delay{};        ///< the same, counted from now by the server's clock; run_at wins
  std::optional<int> max_attempts{};  ///< else what its queue says
  std::optional<std::string> unique_key{};
  /// The key is taken for so long, whatever becomes of the job; without it until the job has ended.
  std::optional<Span> unique_for{};
  IfExists if_exists = IfExists::ignore;
  std::optional<std::string> limit_key{};  ///< for its queue's limit per key
  std::optional<Time> deadline{};          ///< past it, it is not worth trying again
};

}  // namespace weir
