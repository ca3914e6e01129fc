#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "pg/error.h"
#include "pg/session.h"

namespace weir::stream {

/// Chunks that a process could not read because of what is in them: passed over for a while, so that those
/// behind them come, and given up when that does not end. Of one thread.
class Unreadable {
 public:
  /// `patience`: for how long a chunk is tried, more and more seldom and `kTimes` at least, before it is
  /// given up.
  explicit Unreadable(Duration patience);

  static constexpr int kTimes = 5;
  /// With more of them it is not the chunks.
  static constexpr std::size_t kMost = 16;

  /// Whether it lies in what was read. A right that is missing, a table that is not there, a full disk and an
  /// error that a function of the user raised would be told of every chunk.
  [[nodiscard]] static bool is_own_fault(const pg::Session& session, const pg::Error& error) noexcept;

  /// A chunk could not be read. False when there are too many: then it is not passed over.
  bool failed(std::int64_t chunk, SteadyTime now);
  void was_read(std::int64_t chunk) noexcept { chunks_.erase(chunk); }
  /// What is not to be claimed now.
  [[nodiscard]] std::vector<std::int64_t> passed_over(SteadyTime now);
  /// One that is to be given up; it is passed over for a while all the same, should that fail.
  [[nodiscard]] std::optional<std::int64_t> given_up(SteadyTime now);
  void forget(std::int64_t chunk) noexcept { chunks_.erase(chunk); }
  /// In how long one of them is tried again.
  [[nodiscard]] std::optional<Duration> next_try(SteadyTime now) const;

 private:
  struct Chunk {
    int times = 0;
    SteadyTime since{};
    SteadyTime again_at{};
  };
  [[nodiscard]] bool is_hopeless(const Chunk& chunk, SteadyTime now) const noexcept {
    return chunk.times >= kTimes && now - chunk.since >= patience_;
  }

  const Duration patience_;
  const BackoffPolicy try_again_;
  std::map<std::int64_t, Chunk> chunks_;
};

}  // namespace weir::stream
