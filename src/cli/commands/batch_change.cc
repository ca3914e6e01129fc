#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/group_words.h"
#include "cli/open_database.h"
#include "group/admin.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;

/// `verb`: "are before", "have failed at".
ExitCode tell(Context& context, std::int64_t run, const std::vector<group::RunChange>& changes,
              std::string_view verb) {
  if (context.global.json) {
    ordered_json sinks = ordered_json::array();
    for (const group::RunChange& change : changes)
      sinks.push_back({{"sink", change.sink}, {"batches", change.batches}});
    context.out.json({{"run", std::to_string(run)}, {"sinks", sinks}});
    return ExitCode::ok;
  }
  for (const group::RunChange& change : changes)
    context.out.line(fmt::format("{} of the run {} {} the sink {}", batches_text(change.batches), run, verb,
                                 printable(change.sink)));
  return ExitCode::ok;
}

ExitCode retry(Context& context) {
  const group::BatchId id =
      group::parse_batch_id(only_word(context, "which run?", "weir batch retry ID, such as 17.0 or 17"));
  pg::Session session = open_database(context, "batch-retry");
  const auto changes = group::retry_run(session, id.run, context.arguments.value("sink"));
  return tell(context, id.run, changes, "back before");
}

ExitCode fail(Context& context) {
  const group::BatchId id =
      group::parse_batch_id(only_word(context, "which run?", "weir batch fail ID --reason TEXT"));
  const auto reason = context.arguments.value("reason");
  if (!reason || trim(*reason).empty())
    throw Error(ExitCode::usage, "why?",
                "Write: weir batch fail ID --reason TEXT. It stands with each of its batches.");
  pg::Session session = open_database(context, "batch-fail");
  const auto changes = group::fail_run(session, id.run, context.arguments.value("sink"), *reason);
  return tell(context, id.run, changes, "failed at");
}

}  // namespace

Command batch_retry_command() {
  return {.path = "batch retry",
          .summary = "start a run again that has failed, from its first batch on that did not succeed",
          .description =
              "At all sinks where it failed, or at --sink and those behind it. Its attempts count from 1 "
              "again; what\n"
              "succeeded is not touched. Newer runs of its group may have been applied since: it comes after "
              "them.\n"
              "Refused (5) where nothing has failed: what is tried again by itself needs no help.",
          .options = {{"sink", 0, "SINK", "at this sink and those behind it"}},
          .words = "ID",
          .examples = {{"weir batch retry 17", ""},
                       {"weir batch retry 17.3 --sink gold", "the run of that batch"}},
          .run = retry};
}

Command batch_fail_command() {
  return {.path = "batch fail",
          .summary = "end a run by hand: what is left of it has failed",
          .description =
              "Its group goes on with the next run. A batch that is executing is not waited for: what its "
              "consumer\n"
              "writes of it is refused, and is undone where its sink is in this database. What comes of the "
              "run later\n"
              "fails, too. weir batch retry takes it back.",
          .options = {{"reason", 0, "TEXT", "why (needed)"},
                      {"sink", 0, "SINK", "at this sink and those behind it"}},
          .words = "ID",
          .examples = {{"weir batch fail 17 --reason 'the source was wrong'", ""}},
          .run = fail};
}

}  // namespace weir::cli
