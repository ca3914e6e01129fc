#include "group/sink_definition.h"

#include <fmt/format.h>

#include "base/deadline.h"
#include "base/error.h"
#include "base/text.h"
#include "pg/error.h"
#include "pg/transaction.h"
#include "schema/queries/groups.h"

namespace weir::group {
namespace {

constexpr Duration kLongestWait = std::chrono::minutes(1);

/// Nothing where the feed has no such sink.
std::optional<SinkDefinition> look_up(pg::Session& session, std::string_view feed, std::string_view sink,
                                      std::int32_t& feed_id) {
  const auto rows = session.run<sql::SinkDefinition>(std::string(feed), std::string(sink));
  const auto row = rows.one();
  if (!row.feed_id) {
    throw Error(ExitCode::refused, fmt::format("there is no feed {}", printable(feed)),
                "weir feed list shows which there are; weir feed create makes one.");
  }
  feed_id = *row.feed_id;
  if (!row.sink_id) return std::nullopt;
  SinkDefinition found{.id = *row.sink_id,
                       .feed_id = *row.feed_id,
                       .feed = std::string(feed),
                       .name = std::string(sink),
                       .after = std::nullopt,
                       .paused = *row.paused,
                       .max_attempts = *row.max_attempts,
                       .backoff = std::chrono::milliseconds(*row.backoff_ms),
                       .lease = std::chrono::milliseconds(*row.lease_ms),
                       .stranded = std::chrono::milliseconds(*row.stranded_ms)};
  if (row.after) found.after = std::string(*row.after);
  return found;
}

SinkDefinition try_to_add(pg::Session& session, const NewSink& wanted) {
  pg::Transaction transaction(session);
  std::int32_t feed_id = 0;
  if (look_up(session, wanted.feed, wanted.name, feed_id)) {
    throw Error(
        ExitCode::refused,
        fmt::format("the feed {} has the sink {} already", printable(wanted.feed), printable(wanted.name)),
        "weir feed list shows it, and what it follows: that stays as it was made.");
  }
  std::optional<std::int32_t> after;
  if (wanted.after) after = find_sink(session, wanted.feed, *wanted.after).id;
  session.run<sql::AddFeedSink>(feed_id, wanted.name, after, wanted.from);
  SinkDefinition made = find_sink(session, wanted.feed, wanted.name);
  transaction.commit();
  return made;
}

}  // namespace

SinkDefinition find_sink(pg::Session& session, std::string_view feed, std::string_view sink) {
  std::int32_t feed_id = 0;
  if (auto found = look_up(session, feed, sink, feed_id)) return *std::move(found);
  throw Error(ExitCode::refused, fmt::format("the feed {} has no sink {}", printable(feed), printable(sink)),
              "weir feed list shows which there are; weir feed sink adds one.");
}

SinkDefinition add_sink(pg::Session& session, const NewSink& wanted) {
  // Whoever has submitted and not committed is waited for, but not in a way that others wait behind us.
  for (const Deadline deadline = Deadline::after(kLongestWait);;) {
    try {
      return try_to_add(session, wanted);
    } catch (const pg::LockTimeout&) {
      if (!deadline.expired()) continue;
      throw Error(ExitCode::refused,
                  fmt::format("somebody has had batches of the feed {} in an open transaction for {}",
                              printable(wanted.feed), human_duration(kLongestWait)),
                  "A sink is added between two transactions of producers: try again when they have ended.");
    }
  }
}

}  // namespace weir::group
