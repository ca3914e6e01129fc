#include "group/admin.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "group/feed_lock.h"
#include "group/group_key.h"
#include "group/hint.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/groups.h"
#include "schema/queries/groups_admin.h"

namespace weir::group {
namespace {

std::optional<std::int64_t> to_ms(const std::optional<Duration>& span) {
  return span ? std::optional<std::int64_t>(*span / std::chrono::milliseconds(1)) : std::nullopt;
}

std::optional<std::int32_t> to_int(const std::optional<int>& value) { return value; }

template <class T>
bool read_number(std::string_view text, T& number) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  return parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && number >= 0;
}

/// With the rows of a run, before it is said who has them.
constexpr Duration kPatience = std::chrono::seconds(10);

constexpr std::int32_t kAllSinks = 0;  // they are counted from 1

/// A run, at one of its feed's sinks.
struct RunAtSink {
  std::int32_t sink_id = 0;
  std::string sink;
  std::optional<std::int32_t> after_id;
  std::int32_t next_idx = 0;
  bool failed = false;
  std::string error;
  std::int64_t open = 0;
};

struct Run {
  std::int64_t id = 0;
  std::string feed;
  std::string tenant;
  std::string key;
  std::string name;
  std::optional<std::int32_t> last_idx;
  std::optional<std::string> superseded_by;
  std::vector<RunAtSink> sinks;

  [[nodiscard]] std::string text() const {
    return name.empty() ? fmt::format("the run {}", id) : fmt::format("the run {} ({})", id, printable(name));
  }
  [[nodiscard]] const RunAtSink& at(const std::string& sink) const {
    const auto found =
        std::find_if(sinks.begin(), sinks.end(), [&](const RunAtSink& one) { return one.sink == sink; });
    if (found != sinks.end()) return *found;
    throw Error(ExitCode::definition,
                fmt::format("the feed {} has no sink '{}'", printable(feed), printable(sink)),
                "weir feed list shows which there are.");
  }
  /// Whether `sink` is `first`, or behind it; all of them are behind kAllSinks.
  [[nodiscard]] bool is_at_or_behind(const RunAtSink& sink, std::int32_t first) const {
    if (first == kAllSinks || sink.sink_id == first) return true;
    const auto before = std::find_if(sinks.begin(), sinks.end(),
                                     [&](const RunAtSink& one) { return one.sink_id == sink.after_id; });
    return before != sinks.end() && is_at_or_behind(*before, first);
  }
};

Run find_run(pg::Session& session, std::int64_t id) {
  Run run{.id = id,
          .feed = {},
          .tenant = {},
          .key = {},
          .name = {},
          .last_idx = {},
          .superseded_by = {},
          .sinks = {}};
  const auto rows = session.run<sql::BatchRunAtSinks>(id);
  if (rows.empty()) {
    throw Error(ExitCode::failed, fmt::format("there is no run {}", id),
                "weir batch list shows the runs that are kept: the number before the dot.");
  }
  for (const auto& row : rows) {
    run.feed = row.feed;
    run.tenant = row.tenant;
    run.key = row.key;
    run.name = row.run.value_or("");
    run.last_idx = row.last_idx;
    if (row.superseded_by) run.superseded_by = std::string(*row.superseded_by);
    if (!row.sink_id) continue;
    run.sinks.push_back({.sink_id = *row.sink_id,
                         .sink = std::string(row.sink.value_or("")),
                         .after_id = row.after_id,
                         .next_idx = row.next_idx,
                         .failed = row.failed,
                         .error = std::string(row.error.value_or("")),
                         .open = row.open});
  }
  return run;
}

/// Whether something of it is still to be done, or to come.
bool is_left(const Run& run, const RunAtSink& sink) {
  return sink.open > 0 || !run.last_idx || sink.next_idx <= *run.last_idx;
}

/// Whoever comes behind a sink fails with it; a sink that has had all of the run is left as it is.
std::vector<RunChange> fail_left(pg::Session& session, const Run& run, std::int32_t first,
                                 const std::string& reason) {
  pg::Transaction transaction(session);
  transaction.set_local("lock_timeout", fmt::format("{}ms", to_ms(kPatience).value()));
  std::vector<RunChange> changes;
  std::vector<std::int32_t> ended;
  for (const RunAtSink& at : run.sinks) {
    const bool goes_with_another = std::any_of(
        ended.begin(), ended.end(), [&](std::int32_t before) { return run.is_at_or_behind(at, before); });
    if (goes_with_another || at.failed || !is_left(run, at) || !run.is_at_or_behind(at, first)) continue;
    const auto rows = session.run<sql::FailBatchRun>(at.sink_id, run.tenant, run.key, run.id, reason);
    changes.push_back({at.sink, rows.one().batches});
    ended.push_back(at.sink_id);
  }
  transaction.commit();
  return changes;
}

}  // namespace

void create_feed(pg::Session& session, const std::string& name, const FeedSettings& settings,
                 const std::vector<SinkWish>& sinks) {
  pg::Transaction transaction(session);
  const auto made =
      session.run<sql::CreateFeed>(name, to_int(settings.max_attempts), to_ms(settings.backoff),
                                   to_ms(settings.lease), to_ms(settings.keep), to_ms(settings.stranded));
  if (made.empty()) {
    throw Error(ExitCode::refused, fmt::format("the feed {} is there already", printable(name)),
                "weir feed set changes its settings, weir feed sink adds a sink.");
  }
  const std::int32_t feed = made.one().id;
  for (const SinkWish& wish : sinks) {
    std::optional<std::int32_t> after;
    if (wish.after) after = find_sink_of(find_feed(session, name), *wish.after).id;
    session.run<sql::AddFeedSink>(feed, wish.name, after, std::optional<WallTime>());
  }
  transaction.commit();
}

void change_feed(pg::Session& session, const Feed& feed, const FeedSettings& settings) {
  session.run<sql::SetFeed>(feed.id, to_int(settings.max_attempts), to_ms(settings.backoff),
                            to_ms(settings.lease), to_ms(settings.keep), to_ms(settings.stranded));
}

bool pause_sink(pg::Session& session, const FeedSink& sink, bool paused) {
  const auto rows = session.run<sql::PauseFeedSink>(sink.id, paused);
  const bool changed = !rows.empty() && rows.one().changed;
  if (changed && !paused) hint<sql::WakeSink>(session, sink.id);
  return changed;
}

void drop_feed(pg::Session& session, const Feed& feed) {
  with_feed_to_oneself(session, feed.name, [&] {
    static_cast<void>(session.run<sql::LockFeed>(feed.id));
    // What a consumer that is gone has left behind is nobody's.
    for (const FeedSink& sink : feed.sinks) {
      session.run<sql::RecoverGroups>(sink.id, lock_space(sink.id), feed.max_attempts,
                                      std::int64_t{feed.backoff / std::chrono::milliseconds(1)});
    }
    const auto busy = session.run<sql::FeedGroupsInFlight>(feed.id);
    if (const auto row = busy.one(); row.groups > 0) {
      throw Error(ExitCode::refused,
                  fmt::format("{} has a group of the feed {} in flight", printable(row.owner.value_or("")),
                              printable(feed.name)),
                  "Stop its consumers first; weir group status shows who has what. One that is gone lets go "
                  "when its lease ends.");
    }
    session.run<sql::DropFeed>(feed.id);
  });
}

BatchId parse_batch_id(std::string_view text) {
  BatchId id;
  const std::size_t dot = text.find('.');
  bool good = read_number(text.substr(0, dot), id.run) && id.run > 0;
  if (dot != std::string_view::npos) good = good && read_number(text.substr(dot + 1), id.idx.emplace(0));
  if (good) return id;
  throw Error(ExitCode::usage, fmt::format("'{}' is not the id of a batch", printable(text)),
              "An id is a run and an index, such as 17.0, as weir batch submit and weir batch list show it.");
}

std::vector<RunChange> retry_run(pg::Session& session, std::int64_t id,
                                 const std::optional<std::string>& sink) {
  const Run run = find_run(session, id);
  const std::int32_t first = sink ? run.at(*sink).sink_id : kAllSinks;
  if (run.superseded_by) {
    throw Error(ExitCode::refused,
                fmt::format("{} was superseded by the run {}", run.text(), printable(*run.superseded_by)),
                "What it would bring is older than what is there. Submit it again as a run of its own.");
  }
  // One that failed because the sink before it did comes back with that one.
  std::vector<RunChange> changes;
  with_feed_to_oneself(session, run.feed, [&] {
    changes.clear();
    for (const RunAtSink& at : run.sinks) {
      if (!at.failed || !run.is_at_or_behind(at, first)) continue;
      const auto rows = session.run<sql::RetryBatchRun>(at.sink_id, id);
      changes.push_back({at.sink, rows.one().batches});
    }
  });
  if (!changes.empty()) return changes;
  throw Error(ExitCode::refused,
              fmt::format("{} has not failed{}", run.text(), sink ? " at the sink " + printable(*sink) : ""),
              "weir batch list --state failed shows those that have; others are tried again by themselves.");
}

std::vector<RunChange> fail_run(pg::Session& session, std::int64_t id, const std::optional<std::string>& sink,
                                const std::string& reason) {
  const Run run = find_run(session, id);
  const std::int32_t first = sink ? run.at(*sink).sink_id : kAllSinks;
  std::vector<RunChange> changes;
  try {
    changes = fail_left(session, run, first, reason);
  } catch (const pg::LockTimeout&) {
    throw Error(
        ExitCode::refused,
        fmt::format("somebody has had batches of {} locked for {}", run.text(), human_duration(kPatience)),
        "Try again when his transaction has ended: weir group status shows who applies it, and "
        "pg_stat_activity "
        "which transactions are open for long.");
  }
  if (!changes.empty()) return changes;
  throw Error(
      ExitCode::refused,
      fmt::format("nothing of {} is left{}", run.text(), sink ? " at the sink " + printable(*sink) : ""),
      "It has succeeded, or failed, as a whole: weir batch list --run shows how.");
}

}  // namespace weir::group
