#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "pg/session.h"

namespace weir::group {

/// A sink, with what its feed says of all of its sinks.
struct SinkDefinition {
  std::int32_t id = 0;
  std::int32_t feed_id = 0;
  std::string feed;
  std::string name;
  std::optional<std::string> after;  ///< the sink that has to have a batch first
  bool paused = false;
  int max_attempts = 3;
  Duration backoff = std::chrono::seconds(15);
  Duration lease = std::chrono::seconds(60);
  Duration stranded = std::chrono::hours(6);

  [[nodiscard]] std::int64_t lease_ms() const noexcept {
    return std::chrono::duration_cast<std::chrono::milliseconds>(lease).count();
  }
};

/// Throws, and says what there is, where there is no such feed or no such sink of it.
SinkDefinition find_sink(pg::Session& session, std::string_view feed, std::string_view sink);

struct NewSink {
  std::string feed;
  std::string name;
  std::optional<std::string> after{};
  /// It has also what was submitted since then and is kept; without it what comes from now on.
  std::optional<WallTime> from{};
};
/// Throws where it is there already.
SinkDefinition add_sink(pg::Session& session, const NewSink& wanted);

}  // namespace weir::group
