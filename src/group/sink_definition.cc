#include "group/sink_definition.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "group/feed_lock.h"
#include "schema/queries/groups.h"

namespace weir::group {
namespace {

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

}  // namespace

SinkDefinition find_sink(pg::Session& session, std::string_view feed, std::string_view sink) {
  std::int32_t feed_id = 0;
  if (auto found = look_up(session, feed, sink, feed_id)) return *std::move(found);
  throw Error(ExitCode::refused, fmt::format("the feed {} has no sink {}", printable(feed), printable(sink)),
              "weir feed list shows which there are; weir feed sink adds one.");
}

SinkDefinition add_sink(pg::Session& session, const NewSink& wanted) {
  SinkDefinition made;
  with_feed_to_oneself(session, wanted.feed, [&] {
    std::int32_t feed_id = 0;
    if (look_up(session, wanted.feed, wanted.name, feed_id)) {
      throw Error(
          ExitCode::refused,
          fmt::format("the feed {} has the sink {} already", printable(wanted.feed), printable(wanted.name)),
          "Give it another name, or go on with the one that is there: weir feed list shows it.");
    }
    std::optional<std::int32_t> after;
    if (wanted.after) after = find_sink(session, wanted.feed, *wanted.after).id;
    session.run<sql::AddFeedSink>(feed_id, wanted.name, after, wanted.from);
    made = find_sink(session, wanted.feed, wanted.name);
  });
  return made;
}

}  // namespace weir::group
