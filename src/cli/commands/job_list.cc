#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "cli/term/table.h"
#include "queue/admin.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using queue::JobLine;

constexpr int kMostListed = 1'000'000;

std::vector<std::string_view> read_states(const std::vector<std::string>& words) {
  std::vector<std::string_view> states;
  for (const std::string& word : words) {
    const auto found = std::find(std::begin(queue::kJobStates), std::end(queue::kJobStates), word);
    if (found == std::end(queue::kJobStates)) {
      const auto near = closest(word, queue::kJobStates);
      throw Error(ExitCode::usage,
                  fmt::format("--state is '{}', which is none of: {}", printable(word),
                              fmt::join(queue::kJobStates, ", ")),
                  near ? fmt::format("Did you mean '{}'?", *near) : "See: weir help job list");
    }
    states.push_back(*found);
  }
  return states;
}

Color color_of(std::string_view state) {
  if (state == "running") return Color::cyan;
  if (state == "dead") return Color::red;
  if (state == "later") return Color::yellow;
  return state == "done" ? Color::green : Color::plain;
}

std::string when_text(const JobLine& job) {
  if (job.state == "waiting") return "since " + time_text(job.created_at);
  if (!job.at) return "";
  if (job.state == "running") return "since " + time_text(*job.at);
  return (job.state == "later" ? "due " : "") + time_text(*job.at);
}

std::string to_text(const std::vector<JobLine>& jobs, const Paint& paint) {
  Table table(
      {{"id", Table::Align::right}, {"queue"}, {"state"}, {"kind"}, {"attempt"}, {"when"}, {"error"}});
  for (const JobLine& job : jobs) {
    const std::string attempt =
        job.max_attempts ? fmt::format("{}/{}", job.attempt, *job.max_attempts) : std::to_string(job.attempt);
    table.add({std::to_string(job.id), job.queue, Table::Cell(job.state, color_of(job.state)), job.kind,
               attempt, when_text(job), first_line(job.error)});
  }
  return table.render(paint);
}

ordered_json to_json(const JobLine& job) {
  return {{"id", id_json(job.id)},
          {"queue", job.queue},
          {"state", job.state},
          {"kind", job.kind},
          {"priority", or_null(job.priority)},
          {"attempt", job.attempt},
          {"max_attempts", or_null(job.max_attempts)},
          {"created_at", time_json(job.created_at)},
          {"at", time_json(job.at)},
          {"worker", or_null(job.worker)},
          {"limit_key", or_null(job.limit_key)},
          {"error", job.error.empty() ? ordered_json() : ordered_json(job.error)}};
}

ExitCode list(Context& context, std::vector<std::string_view> states) {
  queue::JobFilter filter;
  if (!states.empty()) filter.states = std::move(states);
  filter.queue = context.arguments.value("queue");
  filter.kind = context.arguments.value("kind");
  const int most = context.arguments.number("limit", 1, kMostListed).value_or(50);
  filter.most = most;
  pg::Session session = open_database(context, "job-list");
  // One more than is shown tells whether there are more.
  ++filter.most;
  std::vector<JobLine> jobs = queue::list_jobs(session, filter);
  const bool more = jobs.size() > static_cast<std::size_t>(most);
  if (more) jobs.pop_back();
  if (context.global.json) {
    ordered_json lines = ordered_json::array();
    for (const JobLine& job : jobs) lines.push_back(to_json(job));
    context.out.json({{"jobs", lines}, {"more", more}});
    return ExitCode::ok;
  }
  if (jobs.empty()) {
    context.progress.note("no jobs");
    return ExitCode::ok;
  }
  context.out.write(to_text(jobs, context.out.paint()));
  if (more) context.progress.note(fmt::format("there are more than these {}: --limit N shows more", most));
  return ExitCode::ok;
}

const OptionSpec kQueue{"queue", 0, "QUEUE", "of this queue only"};
const OptionSpec kKind{"kind", 0, "KIND", "of this kind only"};
const OptionSpec kLimit{"limit", 0, "N", "so many at most (default: 50)"};

}  // namespace

Command job_list_command() {
  return {
      .path = "job list",
      .summary = "show jobs: those that run, wait, are due later, are dead or done",
      .description =
          "In this order: running, waiting as they will be claimed, later as they come due, and the youngest "
          "of\n"
          "the dead and the done. Done jobs are there where the queue keeps them (weir queue set Q keep=7).",
      .options = {kQueue,
                  {"state", 0, "STATE", "running, waiting, later, dead or done; may be given several times"},
                  kKind,
                  kLimit},
      .examples = {{"weir job list --queue mail", "all of one queue"},
                   {"weir job list --state later --state dead", "what did not go well, or not yet"},
                   {"weir job list --json", "one document: jobs[], more"}},
      .run = [](Context& context) { return list(context, read_states(context.arguments.values("state"))); }};
}

Command job_dead_command() {
  return {.path = "job dead",
          .summary = "show the dead letters: jobs that were given up, with their errors",
          .description =
              "The youngest first. weir job show ID tells all about one, weir job replay starts it again.",
          .options = {kQueue, kKind, kLimit},
          .examples = {{"weir job dead --queue mail", ""},
                       {"weir job dead --json", "one document: jobs[], more"}},
          .run = [](Context& context) { return list(context, {"dead"}); }};
}

}  // namespace weir::cli
