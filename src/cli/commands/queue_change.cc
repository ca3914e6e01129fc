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
using queue::QueueConfig;

ordered_json to_json(const QueueConfig& config) {
  return {{"queue", config.name},
          {"paused", config.paused},
          {"max_attempts", config.max_attempts},
          {"backoff_seconds", to_seconds(config.backoff)},
          {"backoff_cap_seconds", to_seconds(config.backoff_cap)},
          {"timeout_seconds", config.timeout ? ordered_json(to_seconds(*config.timeout)) : ordered_json()},
          {"keep_days", or_null(config.keep_days)},
          {"keep_dead_days", or_null(config.keep_dead_days)},
          {"max_running", or_null(config.max_running)},
          {"max_per_key", or_null(config.max_per_key)},
          {"rate", config.rate ? ordered_json({{"jobs", config.rate->jobs},
                                               {"seconds", to_seconds(config.rate->period)}})
                               : ordered_json()},
          {"relaxed", config.relaxed}};
}

void show(Context& context, const std::vector<QueueConfig>& queues) {
  if (context.global.json) {
    ordered_json all = ordered_json::array();
    for (const QueueConfig& queue : queues) all.push_back(to_json(queue));
    context.out.json({{"queues", all}});
    return;
  }
  if (queues.empty()) {
    context.progress.note("there are no queues yet");
    return;
  }
  std::vector<Table::Column> columns{{"queue"}, {"state"}};
  for (const auto& [name, value] : queue::to_words(queues.front())) columns.push_back({std::string(name)});
  Table table(columns);
  for (const QueueConfig& queue : queues) {
    std::vector<Table::Cell> row{queue.name, queue.paused ? Table::Cell("paused", Color::yellow) : "open"};
    for (const auto& [name, value] : queue::to_words(queue)) {
      row.push_back(value == "none" || value == "forever" ? Table::Cell(value, Color::dim)
                                                          : Table::Cell(value));
    }
    table.add(std::move(row));
  }
  context.out.write(table.render(context.out.paint()));
}

ExitCode list(Context& context) {
  pg::Session session = open_database(context, "queue-list");
  show(context, queue::read_queues(session, context.arguments.words));
  return ExitCode::ok;
}

ExitCode pause_queue(Context& context, bool paused) {
  const std::string_view verb = paused ? "pause" : "resume";
  const auto& names = queue_names(context, fmt::format("weir queue {} QUEUE...", verb));
  pg::Session session = open_database(context, fmt::format("queue-{}", verb));
  queue::pause_queues(session, names, paused);
  if (context.global.json) {
    context.out.json({{"queues", names}, {"paused", paused}});
  } else {
    context.out.line(fmt::format("{}: {}", paused ? "paused" : "open",
                                 printable(fmt::format("{}", fmt::join(names, ", ")))));
  }
  return ExitCode::ok;
}

ExitCode set_queue(Context& context) {
  const auto& words = queue_names(context, "weir queue set QUEUE KEY=VALUE...");
  if (words.size() == 1) {
    throw Error(ExitCode::usage, "nothing to set was named",
                "Write: weir queue set QUEUE KEY=VALUE.. See: weir help queue set");
  }
  const std::span<const std::string> settings = std::span(words).subspan(1);
  // Also before the database is asked for: a mistake in a word is no matter of the database.
  QueueConfig checked;
  queue::check_queue_name(words.front());
  for (const std::string& word : settings) queue::set_word(checked, word);
  pg::Session session = open_database(context, "queue-set");
  show(context, {queue::change_queue(session, words.front(), settings)});
  return ExitCode::ok;
}

}  // namespace

Command queue_list_command() {
  return {.path = "queue list",
          .summary = "show queues and their settings",
          .description = "weir job stats shows what is in them.",
          .words = "[QUEUE...]",
          .examples = {{"weir queue list", ""}, {"weir queue list --json", "one document: queues[]"}},
          .run = list};
}

Command queue_pause_command() {
  return {.path = "queue pause",
          .summary = "let no job of these queues be begun",
          .description = "What runs goes on to its end. Jobs can be enqueued as ever.",
          .words = "QUEUE...",
          .examples = {{"weir queue pause mail", ""}},
          .run = [](Context& context) { return pause_queue(context, true); }};
}

Command queue_resume_command() {
  return {.path = "queue resume",
          .summary = "go on with queues that were paused",
          .description = "Wakes their workers.",
          .words = "QUEUE...",
          .examples = {{"weir queue resume mail", ""}},
          .run = [](Context& context) { return pause_queue(context, false); }};
}

Command queue_set_command() {
  return {
      .path = "queue set",
      .summary = "change the settings of a queue",
      .description =
          "All of the settings that are named, or none. The queue is made if it does not exist. Workers that "
          "run\n"
          "notice within half a minute. 'none' takes a limit off, and gives the others their default.\n"
          "\n"
          "  max_attempts=25      how often a job may be begun; of jobs that are enqueued from now on\n"
          "  backoff=1s           the pause after the first failure, which then doubles (with jitter)\n"
          "  backoff_cap=1h       the longest pause\n"
          "  timeout=30s          the longest that one attempt may take\n"
          "  keep=7               days for which jobs that ended are kept\n"
          "  keep_dead=30         days for which dead letters are kept; older ones are dropped (default: "
          "forever)\n"
          "  max_running=10       jobs that run at a time, over all workers\n"
          "  max_per_key=1        jobs of one limit key that run at a time, over all workers\n"
          "  rate=100/s           jobs that are begun in a second (1000/h, 5/10m), over all workers\n"
          "  relaxed=on           do not wait for the disk: after a crash of the server some jobs run again",
      .words = "QUEUE KEY=VALUE...",
      .examples = {{"weir queue set mail rate=100/s max_attempts=5", ""},
                   {"weir queue set mail rate=none", "no limit any more"}},
      .run = set_queue};
}

}  // namespace weir::cli
