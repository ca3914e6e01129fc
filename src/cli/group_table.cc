#include "cli/group_table.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/job_words.h"
#include "cli/json_piece.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using group::BatchLine;
using nlohmann::ordered_json;

ordered_json seconds_json(const std::optional<Duration>& span) {
  return span ? ordered_json(to_seconds(*span)) : ordered_json();
}

std::string span_text(const std::optional<Duration>& span) { return span ? human_duration(*span) : ""; }

ordered_json text_json(const std::string& text) { return text.empty() ? ordered_json() : ordered_json(text); }

Color color_of(std::string_view state) {
  if (state == "executing") return Color::cyan;
  if (state == "failed" || state == "lost") return Color::red;
  if (state == "waiting_retry" || state == "retry") return Color::yellow;
  return state == "succeeded" ? Color::green : Color::plain;
}

std::string when_text(const BatchLine& batch) {
  if (batch.state == "waiting_retry" && batch.next_at) return "due " + time_text(*batch.next_at);
  if (!batch.changed_at) return "";
  const bool ended = batch.state == "succeeded" || batch.state == "failed";
  return (ended ? "" : "since ") + time_text(*batch.changed_at);
}

std::string run_text(std::int64_t id, const std::string& name) {
  return name.empty() ? std::to_string(id) : fmt::format("{} ({})", id, name);
}

}  // namespace

std::string feeds_text(const std::vector<group::Feed>& feeds, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"feed"},
               {"attempts", right},
               {"backoff", right},
               {"lease", right},
               {"keep", right},
               {"stranded", right},
               {"sinks"}});
  for (const group::Feed& feed : feeds) {
    std::vector<std::string> sinks;
    for (const group::FeedSink& sink : feed.sinks) {
      sinks.push_back(sink.name + (sink.after ? " after " + *sink.after : "") +
                      (sink.paused ? " (paused)" : ""));
    }
    table.add({feed.name, std::to_string(feed.max_attempts), human_duration(feed.backoff),
               human_duration(feed.lease), human_duration(feed.keep), human_duration(feed.stranded),
               sinks.empty() ? Table::Cell("none", Color::yellow)
                             : Table::Cell(fmt::format("{}", fmt::join(sinks, ", ")))});
  }
  return table.render(paint);
}

ordered_json feed_json(const group::Feed& feed) {
  ordered_json sinks = ordered_json::array();
  for (const group::FeedSink& sink : feed.sinks)
    sinks.push_back({{"sink", sink.name}, {"after", or_null(sink.after)}, {"paused", sink.paused}});
  return {{"feed", feed.name},
          {"max_attempts", feed.max_attempts},
          {"backoff_seconds", to_seconds(feed.backoff)},
          {"lease_seconds", to_seconds(feed.lease)},
          {"keep_seconds", to_seconds(feed.keep)},
          {"stranded_seconds", to_seconds(feed.stranded)},
          {"created_at", time_json(feed.created_at)},
          {"sinks", sinks}};
}

std::string batches_table(const std::vector<BatchLine>& batches, const Paint& paint) {
  Table table({{"id"},
               {"tenant"},
               {"key"},
               {"run"},
               {"sink"},
               {"state"},
               {"attempt", Table::Align::right},
               {"when"},
               {"error"}});
  for (const BatchLine& batch : batches) {
    table.add({batch.id(), batch.tenant, batch.key, batch.run,
               batch.feed == "default" ? batch.sink : batch.feed + "/" + batch.sink,
               Table::Cell(batch.state, color_of(batch.state)),
               batch.attempt == 0 ? "" : std::to_string(batch.attempt), when_text(batch),
               first_line(batch.error)});
  }
  return table.render(paint);
}

ordered_json batch_json(const BatchLine& batch) {
  return {{"id", batch.id()},
          {"feed", batch.feed},
          {"sink", batch.sink},
          {"tenant", batch.tenant},
          {"key", batch.key},
          {"run", text_json(batch.run)},
          {"index", batch.idx},
          {"state", batch.state},
          {"attempt", batch.attempt},
          {"created_at", time_json(batch.created_at)},
          {"changed_at", time_json(batch.changed_at)},
          {"next_at", time_json(batch.next_at)},
          {"owner", text_json(batch.owner)},
          {"error", text_json(batch.error)}};
}

std::string story_text(const group::BatchStory& story, const Paint& paint) {
  Table facts({{""}, {""}});
  const auto add = [&](std::string name, Table::Cell value) {
    facts.add({Table::Cell(std::move(name), Color::dim), std::move(value)});
  };
  add("batch",
      fmt::format("{}.{}{}", story.run_id, story.idx, story.final ? ", the final one of its run" : ""));
  add("group", fmt::format("{} / {} in the feed {}", story.tenant, story.key, story.feed));
  add("run", run_text(story.run_id, story.run));
  if (story.superseded_by)
    add("superseded by", Table::Cell(fmt::format("the run {}", *story.superseded_by), Color::yellow));
  add("submitted", time_text(story.created_at));
  if (story.rows) add("rows", human_count(*story.rows));
  if (story.bytes) add("bytes", human_bytes(static_cast<std::uint64_t>(*story.bytes)));
  add("payload", elide(story.payload, 2000));

  Table sinks({{"sink"}, {"state"}, {"attempt", Table::Align::right}, {"when"}, {"owner"}, {"error"}});
  for (const BatchLine& at : story.sinks) {
    sinks.add({at.sink, Table::Cell(at.state, color_of(at.state)),
               at.attempt == 0 ? "" : std::to_string(at.attempt), when_text(at), at.owner,
               first_line(at.error)});
  }
  Table attempts(
      {{"sink"}, {"attempt", Table::Align::right}, {"outcome"}, {"began"}, {"ended"}, {"owner"}, {"error"}});
  for (const group::BatchAttempt& attempt : story.attempts) {
    attempts.add({attempt.sink, std::to_string(attempt.attempt),
                  Table::Cell(attempt.outcome, color_of(attempt.outcome)),
                  attempt.begun_at ? time_text(*attempt.begun_at) : "", time_text(attempt.ended_at),
                  attempt.owner, elide(attempt.error, 300)});
  }
  std::string text = facts.render(paint);
  if (!story.sinks.empty()) text += "\n" + sinks.render(paint);
  if (!story.attempts.empty()) text += "\n" + attempts.render(paint);
  return text;
}

ordered_json story_json(const group::BatchStory& story) {
  ordered_json sinks = ordered_json::array();
  for (const BatchLine& at : story.sinks) {
    sinks.push_back({{"sink", at.sink},
                     {"state", at.state},
                     {"attempt", at.attempt},
                     {"changed_at", time_json(at.changed_at)},
                     {"next_at", time_json(at.next_at)},
                     {"owner", text_json(at.owner)},
                     {"error", text_json(at.error)}});
  }
  ordered_json attempts = ordered_json::array();
  for (const group::BatchAttempt& attempt : story.attempts) {
    attempts.push_back({{"sink", attempt.sink},
                        {"attempt", attempt.attempt},
                        {"outcome", attempt.outcome},
                        {"begun_at", time_json(attempt.begun_at)},
                        {"ended_at", time_json(attempt.ended_at)},
                        {"owner", text_json(attempt.owner)},
                        {"error", text_json(attempt.error)}});
  }
  return {
      {"id", fmt::format("{}.{}", story.run_id, story.idx)},
      {"feed", story.feed},
      {"tenant", story.tenant},
      {"key", story.key},
      {"run_id", id_json(story.run_id)},
      {"run", text_json(story.run)},
      {"index", story.idx},
      {"final", story.final},
      {"last_index", or_null(story.last_idx)},
      {"superseded_by", story.superseded_by ? ordered_json(id_json(*story.superseded_by)) : ordered_json()},
      {"created_at", time_json(story.created_at)},
      {"rows", or_null(story.rows)},
      {"bytes", or_null(story.bytes)},
      {"payload", json_piece(story.payload)},
      {"sinks", sinks},
      {"attempts", attempts}};
}

std::string headline_text(std::span<const group::SinkLag> sinks) {
  const auto oldest = group::oldest_unclaimed(sinks);
  return oldest ? fmt::format("oldest unclaimed batch: {}", human_duration(*oldest))
                : "no batch is unclaimed";
}

std::string lag_text(const std::vector<group::SinkLag>& sinks, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"feed"},
               {"sink"},
               {"oldest", right},
               {"waiting", right},
               {"retrying", right},
               {"claimable", right},
               {"in flight", right},
               {"executing", right},
               {"failed runs", right}});
  for (const group::SinkLag& sink : sinks) {
    table.add({sink.feed,
               Table::Cell(sink.paused ? sink.sink + " (paused)" : sink.sink,
                           sink.paused ? Color::yellow : Color::plain),
               span_text(sink.oldest), human_count(sink.waiting),
               Table::Cell(human_count(sink.retrying), sink.retrying > 0 ? Color::yellow : Color::plain),
               human_count(sink.claimable), human_count(sink.in_flight), human_count(sink.executing),
               Table::Cell(human_count(sink.failed_runs), sink.failed_runs > 0 ? Color::red : Color::plain)});
  }
  return headline_text(sinks) + "\n\n" + table.render(paint);
}

ordered_json lag_json(const std::vector<group::SinkLag>& sinks) {
  ordered_json all = ordered_json::array();
  for (const group::SinkLag& sink : sinks) {
    all.push_back({{"feed", sink.feed},
                   {"sink", sink.sink},
                   {"after", or_null(sink.after)},
                   {"paused", sink.paused},
                   {"oldest_unclaimed_seconds", seconds_json(sink.oldest)},
                   {"waiting", sink.waiting},
                   {"retrying", sink.retrying},
                   {"claimable_groups", sink.claimable},
                   {"groups_in_flight", sink.in_flight},
                   {"executing", sink.executing},
                   {"failed_runs", sink.failed_runs}});
  }
  return all;
}

std::string in_flight_text(const std::vector<group::GroupInFlight>& groups, const Paint& paint) {
  const auto right = Table::Align::right;
  Table table({{"sink"},
               {"tenant"},
               {"key"},
               {"kind"},
               {"held", right},
               {"batch"},
               {"attempt", right},
               {"executing", right},
               {"last sign", right},
               {"owner"},
               {"pid", right}});
  for (const group::GroupInFlight& group : groups) {
    const bool late = !group.by_lock && group.lease && *group.lease <= Duration::zero();
    table.add({group.feed == "default" ? group.sink : group.feed + "/" + group.sink, group.tenant, group.key,
               group.by_lock ? "lock" : "lease", human_duration(group.held), group.batch.value_or(""),
               group.attempt ? std::to_string(*group.attempt) : "", span_text(group.executing),
               Table::Cell(human_duration(group.silent), late ? Color::red : Color::plain), group.owner,
               std::to_string(group.pid)});
  }
  return table.render(paint);
}

ordered_json in_flight_json(const std::vector<group::GroupInFlight>& groups) {
  ordered_json all = ordered_json::array();
  for (const group::GroupInFlight& group : groups) {
    all.push_back({{"feed", group.feed},
                   {"sink", group.sink},
                   {"tenant", group.tenant},
                   {"key", group.key},
                   {"kind", group.by_lock ? "lock" : "lease"},
                   {"owner", group.owner},
                   {"pid", group.pid},
                   {"held_seconds", to_seconds(group.held)},
                   {"batch", or_null(group.batch)},
                   {"attempt", group.attempt ? ordered_json(*group.attempt) : ordered_json()},
                   {"executing_seconds", seconds_json(group.executing)},
                   {"silent_seconds", to_seconds(group.silent)},
                   {"lease_seconds", seconds_json(group.lease)}});
  }
  return all;
}

}  // namespace weir::cli
