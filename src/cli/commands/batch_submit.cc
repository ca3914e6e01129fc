#include <cerrno>
#include <charconv>
#include <limits>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/unique_fd.h"
#include "cli/batch_line.h"
#include "cli/commands.h"
#include "cli/group_words.h"
#include "cli/input_lines.h"
#include "cli/job_words.h"
#include "cli/open_database.h"
#include "group/intake.h"
#include "group/overview.h"
#include "queue/job_check.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kMost = std::numeric_limits<int>::max();
constexpr std::string_view kUsage =
    "weir batch submit --tenant T --key K PAYLOAD|@FILE|-, or weir batch submit --from FILE|-";

/// As large as a bigint: what the payload only names may be large.
std::int64_t read_rows(const std::string& text) {
  std::int64_t rows = -1;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, rows);
  if (parsed.ec == std::errc() && parsed.ptr == end && rows >= 0) return rows;
  throw Error(ExitCode::usage, fmt::format("--rows is '{}', which is not a number of rows", printable(text)),
              "It is for who looks: leave it out where it is not known.");
}

UniqueFd open_file(const std::string& name) {
  UniqueFd file(::open(name.c_str(), O_RDONLY | O_CLOEXEC));  // NOLINT(cppcoreguidelines-pro-type-vararg)
  if (file.get() >= 0) return file;
  throw Error(ExitCode::usage,
              fmt::format("cannot read {}: {}", printable(name), std::generic_category().message(errno)));
}

std::string read_all(InputLines lines) {
  std::string text;
  while (const auto line = lines.next()) text += *line + "\n";
  return text;
}

/// What weir.submit_batch() would say of every batch, before anything is read.
void require_feed(pg::Session& session, const std::string& name) {
  if (!group::find_feed(session, name).sinks.empty()) return;
  throw Error(ExitCode::failed,
              fmt::format("the feed '{}' has no sink: nobody would ever have the batch", printable(name)),
              fmt::format("weir feed sink {} NAME adds one.", printable(name)));
}

/// PAYLOAD, @FILE or -.
std::string read_payload(const Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() != 1)
    throw Error(ExitCode::usage,
                words.empty() ? "what is its payload?" : "the payload is one word: put it between quotes",
                fmt::format("Write: {}", kUsage));
  std::string payload = words.front();
  if (payload == "-") {
    payload = read_all({STDIN_FILENO, context.stop});
  } else if (payload.starts_with('@')) {
    const std::string name = payload.substr(1);
    const UniqueFd file = open_file(name);
    payload = read_all({file.get(), context.stop, printable(name)});
  }
  if (const auto fault = queue::find_payload_fault(payload)) {
    throw Error(ExitCode::usage,
                fmt::format("the payload cannot be used: {} ({})", *fault, printable(elide(payload, 60))),
                R"(Write JSON: '[{"id": 1}]'; @FILE takes it from a file, - from standard input.)");
  }
  return payload;
}

ExitCode submit_one(Context& context) {
  const Arguments& given = context.arguments;
  group::NewBatch batch;
  const auto needed = [&](std::string_view option) {
    const auto value = given.value(option);
    if (!value)
      throw Error(ExitCode::usage, fmt::format("which {}?", option), fmt::format("Write: {}", kUsage));
    return *value;
  };
  for (const char* const option : {"tenant", "key", "run"}) {
    if (find_invalid_utf8(given.value(option).value_or("")))
      throw Error(ExitCode::usage, fmt::format("--{} is not UTF-8", option), "Convert it to UTF-8.");
  }
  batch.tenant = needed("tenant");
  batch.key = needed("key");
  batch.run = given.value("run");
  if (const auto index = given.number("index", 0, kMostBatchIndex)) batch.idx = *index;
  if (batch.idx && !batch.run)
    throw Error(ExitCode::usage, "--index is a place in a run",
                "Name the run with --run R; without, the batch is a run of its own.");
  if (given.has("final")) batch.final = true;
  batch.feed = feed_option(context);
  if (const auto rows = given.value("rows")) batch.rows = read_rows(*rows);
  batch.supersede = given.has("supersede");
  batch.payload = read_payload(context);
  batch.bytes = std::ssize(batch.payload);
  pg::Session session = open_database(context, "batch-submit");
  require_feed(session, batch.feed);
  const std::string id = group::submit(session, batch);
  if (context.global.json) {
    context.out.json({{"feed", batch.feed}, {"id", id}});
  } else {
    context.out.line(id);
  }
  return ExitCode::ok;
}

ExitCode submit_lines(Context& context, const std::string& name) {
  const Arguments& given = context.arguments;
  for (const char* const option : {"tenant", "key", "run", "index", "final", "rows", "supersede"}) {
    if (given.has(option))
      throw Error(
          ExitCode::usage, fmt::format("--{} is of one batch: with --from each line says its own", option),
          R"(A line is {"tenant": "t", "key": "k", "run": "r", "index": 0, "final": true, "payload": ..}.)");
  }
  if (!given.words.empty())
    throw Error(ExitCode::usage, "--from and a payload exclude one another",
                fmt::format("Write: {}", kUsage));
  const int every = given.number("batch", 1, kMost).value_or(1000);
  UniqueFd file;
  if (name != "-") file = open_file(name);
  pg::Session session = open_database(context, "batch-submit");
  require_feed(session, feed_option(context));
  group::Intake intake(session, feed_option(context), every);
  InputLines lines(name == "-" ? STDIN_FILENO : file.get(), context.stop,
                   name == "-" ? std::string("standard input") : printable(name));
  try {
    while (auto line = lines.next()) {
      if (trim(*line).empty()) continue;
      if (const auto fault = find_batch_line_fault(*line)) {
        throw Error(
            ExitCode::failed, fmt::format("line {}: {}; {}", lines.number(), *fault, intake.kept()),
            "Each line is one batch: an object with tenant, key and payload, and run, index, final, rows, "
            "bytes where they are wanted.");
      }
      intake.add(lines.number(), std::move(*line));
      if (context.progress.overprints() && lines.number() % 10'000 == 0)
        context.progress.step(fmt::format("{} lines read", human_count(lines.number())));
    }
  } catch (const Error& error) {
    if (error.exit_code() != ExitCode::interrupted) throw;
    throw Error(ExitCode::interrupted, fmt::format("{}; {}", error.what(), intake.kept()));
  }
  const std::int64_t total = intake.finish();
  context.progress.clear();
  if (context.global.json) {
    context.out.json({{"feed", feed_option(context)},
                      {"submitted", total},
                      {"first_id", or_null(intake.first_id())},
                      {"last_id", or_null(intake.last_id())}});
  } else {
    context.out.line(fmt::format("{} submitted to {}", batches_text(total), printable(feed_option(context))));
  }
  return ExitCode::ok;
}

ExitCode run_batch_submit(Context& context) {
  if (const auto name = context.arguments.value("from")) return submit_lines(context, *name);
  if (context.arguments.has("batch"))
    throw Error(ExitCode::usage, "--batch is for many batches", "Use it with --from.");
  return submit_one(context);
}

}  // namespace

Command batch_submit_command() {
  return {
      .path = "batch submit",
      .summary = "submit a batch to a feed, or one for each line of a file",
      .description =
          "Prints the batch's id: its run and its index, such as 17.0. The batches of a run are applied in "
          "the\n"
          "order of their indexes, without gaps, and the runs of a group (tenant, key) in the order in "
          "which\n"
          "they began. Without --run a batch is a run of its own; without --index it is the next of its "
          "run.\n"
          "The same batch submitted again is the same batch. In SQL it is weir.submit_batch(), in a\n"
          "transaction of yours (docs/groups.md).\n"
          "\n"
          "--from reads NDJSON, an object a line: tenant, key, payload, and run, index, final, rows, bytes "
          "where\n"
          "they are wanted. Every --batch lines are a transaction. A line that cannot be a batch is named, "
          "with\n"
          "what was kept before it.",
      .options = {{"tenant", 0, "T", "whose: sinks share their time between tenants"},
                  {"key", 0, "K", "what is kept in order, together with the tenant"},
                  {"run", 0, "R", "its run"},
                  {"index", 0, "N", "its place in the run, from 0"},
                  {"final", 0, "", "it is the last one of its run"},
                  {"feed", 0, "FEED", "where to (default: default)"},
                  {"rows", 0, "N", "how many rows it has, for who looks"},
                  {"supersede", 0, "", "what is left of the group's older runs is not wanted any more"},
                  {"from", 0, "FILE|-", "many, as NDJSON"},
                  {"batch", 0, "N", "with --from: commit after every N lines (default: 1000)"}},
      .words = "[PAYLOAD|@FILE|-]",
      .examples = {{R"(weir batch submit --tenant acme --key orders '[{"id": 1}]')", "a run of its own"},
                   {"weir batch submit --tenant acme --key orders --run 2026-11-21 --index 0 @rows.json", ""},
                   {"weir batch submit --from batches.ndjson", "1000 lines a transaction"}},
      .run = run_batch_submit};
}

}  // namespace weir::cli
