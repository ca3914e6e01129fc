#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "queue/admin.h"
#include "queue/dead_letters.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kDropUsage =
    "weir job drop ID.., weir job drop --queue QUEUE, or weir job drop --all; --dry-run counts, --yes does "
    "it";

std::string letters_text(std::int64_t count) {
  return fmt::format("{} dead letter{}", human_count(count), count == 1 ? "" : "s");
}

/// Everything that needs no database.
queue::DeadFilter read_filter(const Arguments& given) {
  check_choice(given, "which dead letters?", kDropUsage);
  if (!given.words.empty() && (given.has("kind") || given.has("older-than"))) {
    throw Error(ExitCode::usage, "--kind and --older-than do not go with ids",
                "Say which queue's, or --all; or leave them out.");
  }
  if (given.has("yes") && given.has("dry-run"))
    throw Error(ExitCode::usage, "--yes and --dry-run exclude one another", "Leave one of them out.");
  queue::DeadFilter filter;
  filter.jobs = job_ids(given.words);
  std::sort(filter.jobs.begin(), filter.jobs.end());
  filter.jobs.erase(std::unique(filter.jobs.begin(), filter.jobs.end()), filter.jobs.end());
  filter.kind = given.value("kind");
  filter.older_than = given.duration("older-than", 0s, 24h * 3650).value_or(Duration::zero());
  return filter;
}

ExitCode drop(Context& context) {
  const Arguments& given = context.arguments;
  queue::DeadFilter filter = read_filter(given);
  pg::Session session = open_database(context, "job-drop");
  if (const auto name = given.value("queue")) filter.queue = queue::find_queue(session, *name);
  const bool dry = given.has("dry-run");
  if (!dry && !given.has("yes")) {
    throw Error(ExitCode::refused,
                fmt::format("{} would be gone for good, payloads and errors too",
                            letters_text(queue::count_dead(session, filter))),
                "weir job dead shows them, weir job replay starts them again. --yes drops them.");
  }
  const std::int64_t dropped =
      dry ? queue::count_dead(session, filter) : queue::drop_dead(session, filter, [&](std::int64_t so_far) {
        context.progress.step(fmt::format("{} dropped", letters_text(so_far)));
      });
  context.progress.clear();
  const std::int64_t missing = filter.jobs.empty() ? 0 : std::ssize(filter.jobs) - dropped;
  if (context.global.json) {
    context.out.json(
        {{"dropped", dry ? 0 : dropped}, {"would_drop", dry ? dropped : 0}, {"not_dead", missing}});
  } else {
    context.out.line(fmt::format("{} {}", letters_text(dropped), dry ? "would be dropped" : "dropped"));
    if (missing > 0) {
      context.progress.note(fmt::format("{} of the ids {} none", missing, missing == 1 ? "is" : "are"));
    }
  }
  return missing > 0 ? ExitCode::failed : ExitCode::ok;
}

}  // namespace

Command job_drop_command() {
  return {
      .path = "job drop",
      .summary = "drop dead letters for good: some, those of a queue, or all",
      .description =
          "Those that are dead when it begins, in steps that are kept each; nobody waits for it. Without "
          "--yes\n"
          "it says how many would go, and exits with 5; --dry-run says so too, and exits with 0. Exit code 1 "
          "when\n"
          "one of the ids is not a dead letter. weir queue set QUEUE keep_dead=30 drops them by age, by "
          "itself.",
      .options = {{"queue", 0, "QUEUE", "dead letters of this queue"},
                  {"all", 0, "", "of all queues"},
                  {"kind", 0, "KIND", "of this kind only"},
                  {"older-than", 0, "TIME", "that died so long ago: 12h, 30d"},
                  {"dry-run", 0, "", "only say how many"},
                  {"yes", 'y', "", "do it"}},
      .words = "[ID...]",
      .examples = {{"weir job drop --queue mail --older-than 30d --dry-run", "how many that would be"},
                   {"weir job drop --queue mail --older-than 30d --yes", ""},
                   {"weir job drop 42 43 --yes", ""}},
      .run = drop};
}

}  // namespace weir::cli
