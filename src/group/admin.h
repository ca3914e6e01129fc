#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "group/overview.h"
#include "group/sink_definition.h"
#include "pg/session.h"

// What people do with feeds and runs, for `weir feed` and `weir batch`. Every function uses a session outside
// of any transaction.

namespace weir::group {

/// What is not named stays as it is, or is the default.
struct FeedSettings {
  std::optional<int> max_attempts{};
  std::optional<Duration> backoff{};
  std::optional<Duration> lease{};
  std::optional<Duration> keep{};
  std::optional<Duration> stranded{};

  [[nodiscard]] bool any() const noexcept { return max_attempts || backoff || lease || keep || stranded; }
};

struct SinkWish {
  std::string name;
  std::optional<std::string> after{};
};

/// With its sinks, in this order: one may follow another that stands before it. All of it or nothing. Throws
/// where there is such a feed already.
void create_feed(pg::Session& session, const std::string& name, const FeedSettings& settings,
                 const std::vector<SinkWish>& sinks);
void change_feed(pg::Session& session, const Feed& feed, const FeedSettings& settings);
/// Whether that changed anything.
bool pause_sink(pg::Session& session, const FeedSink& sink, bool paused);
/// What it was submitted, too. Throws while a consumer has a group of it.
void drop_feed(pg::Session& session, const Feed& feed);

/// "17.0" or "17".
struct BatchId {
  std::int64_t run = 0;
  std::optional<std::int32_t> idx{};
};
/// Throws the usage error for what is no id.
BatchId parse_batch_id(std::string_view text);

/// What was done with a run, at a sink.
struct RunChange {
  std::string sink;
  std::int32_t batches = 0;
};

/// Starts a run again where it failed, from its first batch on that did not succeed: at `sink` and those
/// behind it, or at all of them. Throws where it failed nowhere.
std::vector<RunChange> retry_run(pg::Session& session, std::int64_t run,
                                 const std::optional<std::string>& sink);
/// Ends a run at `sink` and those behind it, or at all of them. Throws where nothing of it is left.
std::vector<RunChange> fail_run(pg::Session& session, std::int64_t run,
                                const std::optional<std::string>& sink, const std::string& reason);

}  // namespace weir::group
