#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/load/open.h"
#include "cli/load/runs.h"
#include "cli/term/table.h"
#include "load/singer_state.h"
#include "load/write/target.h"

namespace weir::cli {
namespace {

using load::RejectRow;
using nlohmann::ordered_json;

constexpr int kMostListed = 1'000'000;
constexpr std::int64_t kReasonsShown = 10;
/// A table of all is made before its first line is shown.
constexpr std::int64_t kMostInTable = 1000;

/// What the history calls the table; of one that is gone what was written.
std::string label_of(pg::Session& session, const std::string& table) {
  const auto target = load::describe_target(session, table);
  return target ? target->label() : table;
}

ExitCode history(Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() > 1)
    throw Error(ExitCode::usage, "one table at a time", "Write: weir load history [TABLE]");
  const int most = context.arguments.number("limit", 1, kMostListed).value_or(20);
  pg::Session session = open_loads(context, "load-history");
  const std::string table = words.empty() ? std::string() : label_of(session, words.front());
  const std::vector<load::RunRow> runs = load::list_runs(session, table, most);
  if (context.global.json) {
    ordered_json lines = ordered_json::array();
    for (const load::RunRow& run : runs) lines.push_back(run_json(run));
    context.out.json({{"runs", lines}});
  } else if (runs.empty()) {
    context.progress.note(table.empty() ? "no loads yet" : fmt::format("no loads of {} yet", table));
  } else {
    context.out.write(runs_text(runs, context.out.paint()));
  }
  return ExitCode::ok;
}

ordered_json reasons_json(const std::vector<load::RejectReason>& reasons) {
  ordered_json all = ordered_json::array();
  for (const load::RejectReason& reason : reasons)
    all.push_back({{"count", reason.count}, {"first", reject_json(reason.first)}});
  return all;
}

ExitCode show(Context& context) {
  const std::int64_t number = run_number(context, "weir load show RUN");
  pg::Session session = open_loads(context, "load-show");
  const load::RunRow run = require_run(session, number);
  // Texts that differ in their value alone would fill the page, so a column and a code stand for them.
  const std::vector<load::RejectReason> reasons = load::reject_reasons(session, number, kReasonsShown);
  if (context.global.json) {
    ordered_json document = run_json(run);
    document["reasons"] = reasons_json(reasons);
    context.out.json(document);
    return ExitCode::ok;
  }
  context.out.write(run_text(run, context.out.paint()));
  if (reasons.empty()) return ExitCode::ok;
  Table table({{"rejects", Table::Align::right}, {"column"}, {"line"}, {"for instance"}});
  for (const load::RejectReason& reason : reasons) {
    table.add({human_count(reason.count), reason.first.column, std::to_string(reason.first.line),
               elide(reason.first.reason, 100)});
  }
  context.out.write("\n" + table.render(context.out.paint()));
  context.progress.note(fmt::format("all of them: weir load rejects {}", number));
  return ExitCode::ok;
}

ExitCode rejects(Context& context) {
  const std::int64_t number = run_number(context, "weir load rejects RUN [--csv|--ndjson]");
  const bool csv = context.arguments.has("csv");
  const bool ndjson = context.arguments.has("ndjson") || context.global.json;
  if (csv && ndjson)
    throw Error(ExitCode::usage, "--csv and --ndjson contradict each other", "Leave one of them out.");
  pg::Session session = open_loads(context, "load-rejects");
  const load::RunRow run = require_run(session, number);
  Table table({{"line", Table::Align::right}, {"file"}, {"column"}, {"reason"}, {"record"}});
  if (csv) context.out.line("line,file,column,sqlstate,reason,raw,raw_base64");
  std::int64_t seen = 0;
  load::each_reject(session, number, [&](const RejectRow& reject) {
    ++seen;
    if (csv) {
      context.out.write(reject_csv(reject));
    } else if (ndjson) {
      context.out.json_line(reject_json(reject));
    } else if (seen <= kMostInTable) {
      table.add(
          {std::to_string(reject.line), reject.file, reject.column, reject.reason, elide(reject.raw, 80)});
    }
  });
  if (!csv && !ndjson && seen > 0) {
    context.out.write(table.render(context.out.paint()));
    if (seen > kMostInTable)
      context.progress.note(fmt::format("{} of {} rejects are shown; --csv or --ndjson writes all of them",
                                        human_count(kMostInTable), human_count(seen)));
  }
  if (seen == 0) {
    context.progress.note(
        run.state == "applied"
            ? fmt::format("load {} rejected nothing", number)
            : fmt::format("load {} was not applied: rejects are kept with the rows of a load", number));
  }
  return ExitCode::ok;
}

ExitCode state(Context& context) {
  const auto& words = context.arguments.words;
  if (words.size() != 1)
    throw Error(ExitCode::usage, "the state of which pipeline?", "Write: weir load state PIPELINE");
  pg::Session session = open_loads(context, "load-state");
  const load::State kept =
      load::read_state(session, words.front(), context.arguments.value("stream").value_or(""));
  if (kept.seq == 0) context.progress.note(fmt::format("no state of {} yet", printable(words.front())));
  const std::string text = load::tap_state_of(kept.json);
  // What every tap takes for none.
  context.out.line(text == "null" ? "{}" : text);
  return ExitCode::ok;
}

}  // namespace

Command load_history_command() {
  return {.path = "load history",
          .summary = "show the loads there were: of a table, or all",
          .description =
              "The newest first. staging: it runs, or was broken off and goes on when it is started again;\n"
              "applied: its rows are in the table; failed: the table is as it was before.",
          .options = {{"limit", 0, "N", "so many at most (default: 20)"}},
          .words = "[TABLE]",
          .examples = {{"weir load history silver_rates", ""},
                       {"weir load history --json", "one document: runs[]"}},
          .run = history};
}

Command load_state_command() {
  return {
      .path = "load state",
      .summary = "show the state of a pipeline that was committed with its rows",
      .description =
          "JSON on one line, for a tap to go on from; {} where there is none yet. Of a tap that was loaded\n"
          "without --pipeline the name is 'singer INTO', such as 'singer app.*'.",
      .options = {{"stream", 0, "NAME", "of what was loaded with --stream (not of a tap)"}},
      .words = "PIPELINE",
      .examples = {{"weir load state shop > state.json", ""}},
      .run = state};
}

Command load_show_command() {
  return {.path = "load show",
          .summary = "show all about a load: rows by action, WAL, locks, why records were rejected",
          .description = "What the load said at its end is kept with it.",
          .words = "RUN",
          .examples = {{"weir load show 12", ""}},
          .run = show};
}

Command load_rejects_command() {
  return {
      .path = "load rejects",
      .summary = "show the records that a load rejected, with line, column and reason",
      .description =
          "The record is shown as it was written, its first 64 KiB. With --json it is the same as --ndjson;\n"
          "what is no UTF-8 is in raw_base64, in CSV also what has zero bytes.",
      .options = {{"csv", 0, "", "as CSV: line, file, column, sqlstate, reason, raw, raw_base64"},
                  {"ndjson", 0, "", "as lines of JSON"}},
      .words = "RUN",
      .examples = {{"weir load rejects 12", ""},
                   {"weir load rejects 12 --ndjson | jq -r .raw > fix.csv", "to mend"}},
      .run = rejects};
}

}  // namespace weir::cli
