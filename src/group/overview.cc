#include "group/overview.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/error.h"
#include "base/text.h"
#include "schema/queries/groups_admin.h"

namespace weir::group {
namespace {

using std::chrono::milliseconds;

std::string text_or_empty(const std::optional<std::string_view>& text) {
  return std::string(text.value_or(""));
}

std::optional<std::string> maybe_text(const std::optional<std::string_view>& text) {
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

Duration seconds(double value) { return from_seconds(std::max(0.0, value)); }

std::optional<Duration> maybe_seconds(const std::optional<double>& value) {
  return value ? std::optional<Duration>(seconds(*value)) : std::nullopt;
}

/// What is said of a name that nobody has.
std::string others(const std::string& name, const std::vector<std::string>& names, std::string_view none) {
  const std::vector<std::string_view> known(names.begin(), names.end());
  if (const auto near = closest(name, known)) return fmt::format("Did you mean '{}'?", printable(*near));
  if (names.empty()) return std::string(none);
  return fmt::format("There are: {}.", printable(fmt::format("{}", fmt::join(names, ", "))));
}

template <class Row>
BatchLine line_of(const Row& row) {
  return {.run_id = row.run_id,
          .idx = row.idx,
          .tenant = std::string(row.tenant),
          .key = std::string(row.key),
          .run = text_or_empty(row.run),
          .feed = std::string(row.feed),
          .sink = std::string(row.sink),
          .state = std::string(row.state),
          .attempt = row.attempt,
          .created_at = row.created_at,
          .changed_at = row.changed_at,
          .next_at = row.next_at,
          .owner = text_or_empty(row.owner),
          .error = text_or_empty(row.error)};
}

template <class Rows>
std::vector<BatchLine> lines_of(const Rows& rows) {
  std::vector<BatchLine> lines;
  for (const auto& row : rows) lines.push_back(line_of(row));
  return lines;
}

struct Scope {
  std::optional<std::int32_t> feed;
  std::optional<std::int32_t> sink;
};

Scope scope_of(pg::Session& session, const std::optional<std::string>& feed,
               const std::optional<std::string>& sink) {
  if (!feed) return {};
  const Feed found = find_feed(session, *feed);
  return {found.id, sink ? std::optional(find_sink_of(found, *sink).id) : std::nullopt};
}

std::vector<std::int32_t> sinks_in(pg::Session& session, const Scope& scope) {
  if (scope.sink) return {*scope.sink};
  std::vector<std::int32_t> ids;
  for (const auto& row : session.run<sql::ListFeedSinks>(scope.feed)) ids.push_back(row.id);
  return ids;
}

}  // namespace

std::vector<Feed> list_feeds(pg::Session& session) {
  std::vector<Feed> feeds;
  for (const auto& row : session.run<sql::ListFeeds>()) {
    feeds.push_back({.id = row.id,
                     .name = std::string(row.name),
                     .max_attempts = row.max_attempts,
                     .backoff = milliseconds(row.backoff_ms),
                     .lease = milliseconds(row.lease_ms),
                     .keep = milliseconds(row.keep_ms),
                     .stranded = milliseconds(row.stranded_ms),
                     .created_at = row.created_at,
                     .sinks = {}});
  }
  for (const auto& row : session.run<sql::ListFeedSinks>(std::optional<std::int32_t>())) {
    const auto feed =
        std::find_if(feeds.begin(), feeds.end(), [&](const Feed& f) { return f.id == row.feed_id; });
    if (feed == feeds.end()) continue;  // made between the two statements
    feed->sinks.push_back(
        {.id = row.id, .name = std::string(row.name), .after = maybe_text(row.after), .paused = row.paused});
  }
  return feeds;
}

Feed find_feed(pg::Session& session, const std::string& name) {
  std::vector<std::string> names;
  for (Feed& feed : list_feeds(session)) {
    if (feed.name == name) return std::move(feed);
    names.push_back(std::move(feed.name));
  }
  throw Error(ExitCode::definition, fmt::format("there is no feed '{}'", printable(name)),
              others(name, names, "There are none: weir feed create makes one."));
}

const FeedSink& find_sink_of(const Feed& feed, const std::string& name) {
  std::vector<std::string> names;
  for (const FeedSink& sink : feed.sinks) {
    if (sink.name == name) return sink;
    names.push_back(sink.name);
  }
  throw Error(ExitCode::definition,
              fmt::format("the feed {} has no sink '{}'", printable(feed.name), printable(name)),
              fmt::format("{} weir feed sink {} {} adds it.", others(name, names, "It has none yet."),
                          printable(feed.name), printable(name)));
}

std::vector<BatchLine> list_batches(pg::Session& session, const BatchFilter& filter) {
  const Scope scope = scope_of(session, filter.feed, filter.sink);
  const bool of_run = filter.run || filter.run_id;
  if (!filter.state || of_run || *filter.state == "upstream") {
    return lines_of(session.run<sql::NewestBatches>(scope.feed, scope.sink, filter.tenant, filter.key,
                                                    filter.run, filter.run_id, std::optional<std::int32_t>(),
                                                    filter.state, filter.most));
  }
  const std::vector<std::int32_t> sinks = sinks_in(session, scope);
  if (*filter.state == "executing")
    return lines_of(session.run<sql::ExecutingBatches>(sinks, filter.tenant, filter.key, filter.most));
  if (*filter.state == "succeeded" || *filter.state == "failed") {
    return lines_of(session.run<sql::EndedBatches>(sinks, filter.tenant, filter.key, *filter.state,
                                                   filter.since, filter.most));
  }
  return lines_of(
      session.run<sql::OpenBatches>(sinks, filter.tenant, filter.key, *filter.state, filter.most));
}

BatchStory batch_story(pg::Session& session, std::int64_t run, std::int32_t idx) {
  const auto found = session.run<sql::BatchPayload>(run, idx);
  if (found.empty()) {
    throw Error(
        ExitCode::failed, fmt::format("there is no batch {}.{}", run, idx),
        fmt::format("weir batch list --run {} shows those of its run. It was never submitted, or longer "
                    "ago than batches are kept.",
                    run));
  }
  const auto row = found.one();
  BatchStory story{.run_id = run,
                   .idx = idx,
                   .feed = std::string(row.feed),
                   .tenant = std::string(row.tenant),
                   .key = std::string(row.key),
                   .run = text_or_empty(row.run),
                   .last_idx = row.last_idx,
                   .superseded_by = {},
                   .created_at = row.created_at,
                   .final = row.final,
                   .rows = row.rows,
                   .bytes = row.bytes,
                   .payload = std::string(row.payload.text),
                   .sinks = {},
                   .attempts = {}};
  const std::optional<std::int32_t> any;
  const std::optional<std::string> any_text;
  story.sinks =
      lines_of(session.run<sql::NewestBatches>(any, any, any_text, any_text, any_text, std::optional(run),
                                               std::optional(idx), any_text, std::int64_t{1000}));
  for (const auto& attempt : session.run<sql::BatchAttempts>(run, idx)) {
    story.attempts.push_back({.sink = std::string(attempt.sink),
                              .attempt = attempt.attempt,
                              .outcome = std::string(attempt.outcome),
                              .begun_at = attempt.begun_at,
                              .ended_at = attempt.ended_at,
                              .owner = text_or_empty(attempt.owner),
                              .error = text_or_empty(attempt.error)});
  }
  // What every sink had before it is not out of date.
  if (std::any_of(story.sinks.begin(), story.sinks.end(),
                  [](const BatchLine& at) { return at.state != "succeeded"; }))
    story.superseded_by = row.superseded_by;
  return story;
}

std::vector<SinkLag> sink_lag(pg::Session& session, const std::optional<std::string>& feed,
                              const std::optional<std::string>& sink) {
  const Scope scope = scope_of(session, feed, sink);
  std::vector<SinkLag> sinks;
  for (const auto& row : session.run<sql::SinkLag>(scope.feed, scope.sink)) {
    sinks.push_back({.feed = std::string(row.feed),
                     .sink = std::string(row.sink),
                     .after = maybe_text(row.after),
                     .paused = row.paused,
                     .waiting = row.waiting,
                     .retrying = row.retrying,
                     .claimable = row.claimable,
                     .in_flight = row.in_flight,
                     .executing = row.executing,
                     .failed_runs = row.failed_runs,
                     .oldest = maybe_seconds(row.oldest_seconds)});
  }
  return sinks;
}

std::optional<Duration> oldest_unclaimed(std::span<const SinkLag> sinks) {
  std::optional<Duration> oldest;
  for (const SinkLag& sink : sinks) oldest = std::max(oldest, sink.oldest);
  return oldest;
}

std::vector<GroupInFlight> groups_in_flight(pg::Session& session, const std::optional<std::string>& feed,
                                            const std::optional<std::string>& sink, std::int64_t most) {
  const Scope scope = scope_of(session, feed, sink);
  std::vector<GroupInFlight> groups;
  for (const auto& row : session.run<sql::GroupsInFlight>(scope.feed, scope.sink, most)) {
    GroupInFlight group{.feed = std::string(row.feed),
                        .sink = std::string(row.sink),
                        .tenant = std::string(row.tenant),
                        .key = std::string(row.key),
                        .owner = std::string(row.owner),
                        .by_lock = row.by_lock,
                        .pid = row.pid,
                        .batch = {},
                        .attempt = row.attempt,
                        .held = seconds(row.held_seconds),
                        .executing = maybe_seconds(row.begun_seconds),
                        .silent = seconds(row.beat_seconds),
                        .lease = maybe_seconds(row.lease_seconds)};
    if (row.run_id && row.idx) group.batch = fmt::format("{}.{}", *row.run_id, *row.idx);
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace weir::group
