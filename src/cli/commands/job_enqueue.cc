#include <algorithm>
#include <limits>

#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/input_lines.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "queue/intake.h"
#include "queue/job_check.h"
#include "queue/queue_config.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr int kMost = std::numeric_limits<int>::max();
constexpr Duration kLongest = 24h * 3650;

void need(bool good, const std::string& problem, const std::string& remedy) {
  if (!good) throw Error(ExitCode::usage, problem, remedy);
}

/// Everything that needs no database.
queue::JobSpec read_spec(const Arguments& given) {
  need(!given.words.empty(), "no queue was named", R"(Write: weir job enqueue QUEUE '{"some": "json"}')");
  need(given.words.size() <= 2, fmt::format("unexpected argument '{}'", printable(given.words.back())),
       "The payload is one word: put it between quotes.");
  queue::JobSpec spec;
  spec.queue = given.words.front();
  queue::check_queue_name(spec.queue);
  spec.kind = given.value("kind").value_or("");
  spec.priority = given.number("priority", -32768, 32767).value_or(0);
  spec.delay = given.duration("delay", 0s, kLongest);
  spec.max_attempts = given.number("max-attempts", 1, 32767);
  spec.unique_key = given.value("unique");
  spec.unique_for = given.duration("unique-for", 1ms, kLongest);
  spec.limit_key = given.value("limit-key");
  need(!(given.has("delay") && given.has("at")), "--delay and --at both say when", "Leave one of them out.");
  for (const char* const option : {"unique-for", "if-exists"}) {
    need(!given.has(option) || spec.unique_key, fmt::format("--{} needs --unique", option),
         "Name the key with --unique KEY.");
  }
  if (const auto word = given.value("if-exists")) {
    constexpr std::string_view kWords[] = {"ignore", "replace", "reschedule"};
    const auto near = closest(*word, kWords);
    need(std::find(std::begin(kWords), std::end(kWords), *word) != std::end(kWords),
         fmt::format("--if-exists is '{}', which is none of: ignore, replace, reschedule", printable(*word)),
         near ? fmt::format("Did you mean '{}'?", *near) : "See: weir help job enqueue");
    spec.if_exists = *word;
  }
  return spec;
}

class Enqueueing {
 public:
  explicit Enqueueing(Context& context)
      : context_(context), given_(context.arguments), spec_(read_spec(given_)) {}

  ExitCode run() {
    const std::string payload = given_.words.size() > 1 ? given_.words[1] : "{}";
    const auto count = given_.number("count", 1, kMost);
    const bool from_input = payload == "-";
    const auto batch = given_.number("batch", 1, kMost);
    const bool many = from_input || count;
    need(!(from_input && count), "--count repeats one payload, and '-' reads many", "Leave one of them out.");
    need(!batch || many, "--batch is for many jobs", "Use it with '-' or --count.");
    need(!(many && spec_.unique_key), "--unique is for a single job: many with one key would be one job",
         "Enqueue it alone, or call weir.enqueue() in SQL with a key for each.");
    if (!from_input) {
      if (const auto fault = queue::find_payload_fault(payload)) {
        throw Error(ExitCode::usage,
                    fmt::format("the payload cannot be used: {} ({})", *fault, printable(elide(payload, 60))),
                    R"(Write JSON, a text with its double quotes: '{"to": "ada"}' or '"ada"'.)");
      }
    }

    pg::Session session = open_database(context_, "enqueue");
    if (const auto at = given_.value("at")) spec_.run_at = queue::read_time(session, "--at", *at);
    if (const auto at = given_.value("deadline"))
      spec_.deadline = queue::read_time(session, "--deadline", *at);
    if (!many) return enqueue_one(session, payload);
    queue::Intake intake(session, spec_, batch ? std::optional<std::int64_t>(*batch) : std::nullopt);
    if (from_input) {
      read_all(intake);
    } else {
      for (int i = 1; i <= *count; ++i) intake.add(i, payload);
    }
    const std::int64_t total = intake.finish();
    context_.progress.clear();
    tell(intake, total);
    return ExitCode::ok;
  }

 private:
  ExitCode enqueue_one(pg::Session& session, const std::string& payload) {
    const std::int64_t id = queue::enqueue_one(session, spec_, payload);
    if (context_.global.json) {
      context_.out.json({{"queue", spec_.queue}, {"id", id_json(id)}});
    } else {
      context_.out.line(std::to_string(id));
    }
    return ExitCode::ok;
  }

  void read_all(queue::Intake& intake) {
    InputLines lines(STDIN_FILENO, context_.stop);
    try {
      while (auto line = next_of(lines, intake)) {
        if (trim(*line).empty()) continue;
        intake.add(lines.number(), std::move(*line));
        if (context_.progress.overprints() && lines.number() % 10'000 == 0)
          context_.progress.step(fmt::format("{} lines read", human_count(lines.number())));
      }
    } catch (const Error& error) {
      if (error.exit_code() != ExitCode::interrupted) throw;
      throw Error(ExitCode::interrupted, fmt::format("{}; {}", error.what(), intake.kept()));
    }
  }

  /// An input that cannot be read to its end says what was kept of it.
  static std::optional<std::string> next_of(InputLines& lines, const queue::Intake& intake) {
    try {
      return lines.next();
    } catch (const Error& error) {
      if (error.exit_code() == ExitCode::interrupted) throw;
      throw Error(error.exit_code(), fmt::format("{}; {}", error.what(), intake.kept()), error.remedy());
    }
  }

  void tell(const queue::Intake& intake, std::int64_t total) {
    if (context_.global.json) {
      const auto id = [](const std::optional<std::int64_t>& value) {
        return value ? ordered_json(id_json(*value)) : ordered_json();
      };
      context_.out.json({{"queue", spec_.queue},
                         {"enqueued", total},
                         {"first_id", id(intake.first_id())},
                         {"last_id", id(intake.last_id())}});
    } else {
      context_.out.line(fmt::format("{} enqueued in {}", jobs_text(total), printable(spec_.queue)));
    }
  }

  Context& context_;
  const Arguments& given_;
  queue::JobSpec spec_;
};

ExitCode run_job_enqueue(Context& context) { return Enqueueing(context).run(); }

}  // namespace

Command job_enqueue_command() {
  return {
      .path = "job enqueue",
      .summary = "add a job to a queue, or one for each line of standard input",
      .description =
          "Prints the id of the job; for a unique key that is taken, the id of the job that has it. The "
          "queue is\n"
          "made if it does not exist. The payload is any JSON, {} if there is none. '-' reads a payload from "
          "each\n"
          "line of standard input: all of them are enqueued in one transaction, or none; with --batch N "
          "every N\n"
          "are kept. A line that is no JSON ends it with exit code 2, and is named with what was kept before "
          "it.",
      .options = {{"kind", 0, "KIND", "what is to be done, for the handler"},
                  {"priority", 0, "N", "-32768 (first) to 32767 (last); default: 0. Negative: --priority=-1"},
                  {"delay", 0, "TIME", "not before so long from now: 30s, 5m, 2h, 1d"},
                  {"at", 0, "TIME", "not before that moment, as PostgreSQL reads it: '2026-12-24 08:00+01'"},
                  {"unique", 0, "KEY", "no second job of this queue has the key until this one has ended"},
                  {"unique-for", 0, "TIME", "keep the key for so long instead"},
                  {"if-exists", 0, "WHAT",
                   "ignore (default), replace or reschedule the job that has the key"},
                  {"limit-key", 0, "KEY", "what the queue's max_per_key counts"},
                  {"max-attempts", 0, "N", "instead of the queue's own"},
                  {"deadline", 0, "TIME", "a moment after which it is not worth doing"},
                  {"count", 0, "N", "enqueue the same payload N times"},
                  {"batch", 0, "N", "with '-' or --count: commit after every N"}},
      .words = "QUEUE [JSON|-]",
      .examples = {{R"(weir job enqueue mail '{"to": "ada@example.org"}')", "one job"},
                   {"weir job enqueue mail '{}' --kind digest --delay 5m --unique digest",
                    "once, in five minutes"},
                   {"weir job enqueue mail - < jobs.ndjson", "all lines or none"}},
      .run = run_job_enqueue};
}

}  // namespace weir::cli
