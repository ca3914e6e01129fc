#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "pg/session.h"

// What is to be told about feeds, batches and groups in flight. Nothing here changes anything.

namespace weir::group {

struct FeedSink {
  std::int32_t id = 0;
  std::string name;
  std::optional<std::string> after;
  bool paused = false;
};

struct Feed {
  std::int32_t id = 0;
  std::string name;
  int max_attempts = 0;
  Duration backoff{};
  Duration lease{};
  Duration keep{};
  Duration stranded{};
  WallTime created_at{};
  std::vector<FeedSink> sinks;
};
std::vector<Feed> list_feeds(pg::Session& session);
/// Throws the error with the feed that was probably meant, or those there are.
Feed find_feed(pg::Session& session, const std::string& name);
/// The same of a feed's sinks.
const FeedSink& find_sink_of(const Feed& feed, const std::string& name);

inline constexpr std::string_view kBatchStates[] = {"pending",   "executing", "waiting_retry",
                                                    "succeeded", "failed",    "upstream"};

/// A batch at a sink.
struct BatchLine {
  std::int64_t run_id = 0;
  std::int32_t idx = 0;
  std::string tenant;
  std::string key;
  std::string run;  ///< its name; empty where the batch is a run of its own
  std::string feed;
  std::string sink;
  std::string state;  ///< one of kBatchStates
  int attempt = 0;
  WallTime created_at{};
  std::optional<WallTime> changed_at;
  std::optional<WallTime> next_at;  ///< of waiting_retry
  std::string owner;                ///< who has it, or had it last
  std::string error;

  [[nodiscard]] std::string id() const { return std::to_string(run_id) + "." + std::to_string(idx); }
};

struct BatchFilter {
  std::optional<std::string> feed{};
  std::optional<std::string> sink{};  ///< needs `feed`
  std::optional<std::string> state{};
  std::optional<std::string> tenant{};
  std::optional<std::string> key{};
  std::optional<std::string> run{};  ///< by name: needs tenant and key
  std::optional<std::int64_t> run_id{};
  std::optional<WallTime> since{};  ///< of succeeded: those that ended later
  std::int64_t most = 50;
};
/// The newest first; with a state those that are to be taken first, or that ended last.
std::vector<BatchLine> list_batches(pg::Session& session, const BatchFilter& filter);

struct BatchAttempt {
  std::string sink;
  int attempt = 0;
  std::string outcome;  ///< succeeded, retry, failed, lost, returned
  std::optional<WallTime> begun_at;
  WallTime ended_at{};
  std::string owner;
  std::string error;
};

struct BatchStory {
  std::int64_t run_id = 0;
  std::int32_t idx = 0;
  std::string feed;
  std::string tenant;
  std::string key;
  std::string run;
  std::optional<std::int32_t> last_idx;  ///< of the run, once its final batch was submitted
  std::optional<std::int64_t> superseded_by;
  WallTime created_at{};
  bool final = false;
  std::optional<std::int64_t> rows;
  std::optional<std::int64_t> bytes;
  std::string payload;
  std::vector<BatchLine> sinks;
  std::vector<BatchAttempt> attempts;  ///< by sink, the oldest first
};
/// Throws where there is no such batch, or no more.
BatchStory batch_story(pg::Session& session, std::int64_t run, std::int32_t idx);

struct SinkLag {
  std::string feed;
  std::string sink;
  std::optional<std::string> after;
  bool paused = false;
  std::int64_t waiting = 0;    ///< batches before it that nobody has begun
  std::int64_t retrying = 0;   ///< of those: that failed and are tried again
  std::int64_t claimable = 0;  ///< groups whose next batch could begin now
  std::int64_t in_flight = 0;  ///< groups
  std::int64_t executing = 0;  ///< batches
  std::int64_t failed_runs = 0;
  std::optional<Duration> oldest;  ///< since when the oldest of the waiting has been before it
};
std::vector<SinkLag> sink_lag(pg::Session& session, const std::optional<std::string>& feed = {},
                              const std::optional<std::string>& sink = {});
/// The headline: of all of them.
std::optional<Duration> oldest_unclaimed(std::span<const SinkLag> sinks);

struct GroupInFlight {
  std::string feed;
  std::string sink;
  std::string tenant;
  std::string key;
  std::string owner;
  bool by_lock = false;
  std::int32_t pid = 0;              ///< of its session
  std::optional<std::string> batch;  ///< "17.0"; nothing between two
  std::optional<int> attempt;
  Duration held{};
  std::optional<Duration> executing;  ///< for how long
  Duration silent{};                  ///< since its last sign of life
  std::optional<Duration> lease;      ///< what is left of it
};
/// Those first of whom nothing was heard for the longest time.
std::vector<GroupInFlight> groups_in_flight(pg::Session& session, const std::optional<std::string>& feed,
                                            const std::optional<std::string>& sink, std::int64_t most);

}  // namespace weir::group
