#include <algorithm>
#include <chrono>
#include <string_view>

#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/wait.h"
#include "cli/commands.h"
#include "cli/open_database.h"
#include "cli/stream_words.h"
#include "cli/term/table.h"
#include "cli/term/terminal.h"
#include "pg/pooler.h"
#include "stream/adopt.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;
using stream::Adoption;
using stream::AdoptStep;

constexpr std::string_view kUsage = "weir stream adopt TABLE, such as events or app.events";

stream::AdoptRequest wanted(const Context& context) {
  const Arguments& given = context.arguments;
  return {.table = stream_name(context, kUsage),
          .id = given.value("id"),
          .at = given.value("at"),
          .key = given.value("key"),
          .payload = given.value("payload"),
          .append_only = given.has("append-only"),
          .chunk_events = given.number("chunk", 1, 10'000).value_or(1000)};
}

Color shade(const AdoptStep& step) {
  if (step.lock == "ACCESS EXCLUSIVE") return Color::red;
  return step.lock == "ACCESS SHARE" ? Color::green : Color::yellow;
}

/// A table with a year of partitions has a thousand steps: those of a kind are one line.
struct PlanLine {
  const AdoptStep* first;
  int steps = 1;
};

std::vector<PlanLine> lines_of(const std::vector<AdoptStep>& steps) {
  std::vector<PlanLine> lines;
  for (const AdoptStep& step : steps) {
    const auto same = std::find_if(lines.begin(), lines.end(),
                                   [&](const PlanLine& line) { return line.first->name == step.name; });
    if (same == lines.end()) {
      lines.push_back({&step});
    } else {
      ++same->steps;
    }
  }
  return lines;
}

std::string columns_text(const stream::StreamColumns& columns) {
  std::string text = fmt::format("id {}, at {}", columns.id, columns.at);
  if (columns.key) text += ", key " + *columns.key;
  text += ", payload " + columns.payload.value_or("the whole row");
  return printable(text);
}

std::string plan_text(const Adoption& plan, const Paint& paint) {
  std::string text = paint(Color::bold, fmt::format("{} as a stream: {}", printable(plan.table.label()),
                                                    columns_text(plan.columns))) +
                     "\n\n";
  Table table({{"  step"}, {"strongest lock"}, {"on"}, {"note"}});
  for (const PlanLine& line : lines_of(plan.steps)) {
    const AdoptStep& step = *line.first;
    table.add({"  " + step.name, Table::Cell(step.lock, shade(step)),
               line.steps == 1 ? step.on : fmt::format("{} and {} more", step.on, line.steps - 1),
               step.note});
  }
  text += table.render(paint) + "\n";
  for (const std::string& notice : stream::adoption_notices(plan.table, plan.columns))
    text += paint(Color::yellow, "  from then on: ") + printable(notice) + "\n";
  return text;
}

ordered_json or_null(const std::optional<std::string>& text) {
  return text ? ordered_json(*text) : ordered_json();
}

ordered_json plan_json(const Adoption& plan) {
  ordered_json steps = ordered_json::array();
  for (const AdoptStep& step : plan.steps) {
    steps.push_back(
        {{"step", step.name}, {"lock", step.lock}, {"on", step.on}, {"note", step.note}, {"sql", step.sql}});
  }
  return {{"stream", plan.request.table},
          {"schema", plan.table.schema},
          {"table", plan.table.name},
          {"columns",
           {{"xid", plan.columns.xid},
            {"event_id", plan.columns.id},
            {"at", plan.columns.at},
            {"key", or_null(plan.columns.key)},
            {"payload", or_null(plan.columns.payload)}}},
          {"steps", steps},
          {"notices", stream::adoption_notices(plan.table, plan.columns)}};
}

/// Where a person sits there they are asked.
bool agreed(Context& context) {
  if (context.arguments.has("yes")) return true;
  const auto is_terminal = [&](int fd) { return look_at_terminal(fd, context.global.color).is_terminal; };
  if (context.global.json || !is_terminal(STDIN_FILENO) || !is_terminal(STDERR_FILENO)) return false;
  context.progress.note("do that? y and Enter; anything else changes nothing");
  Wakeup wakeup;
  if (wait_fd(STDIN_FILENO, POLLIN, Deadline::never(), context.stop, wakeup) != WaitEnd::ready) return false;
  char answer[16] = {};
  const ssize_t got = ::read(STDIN_FILENO, answer, sizeof answer);
  if (got <= 0) return false;
  const std::string_view word = trim(std::string_view(answer, static_cast<std::size_t>(got)));
  return word == "y" || word == "Y" || word == "yes";
}

Adoption look(const Context& context, const stream::AdoptRequest& request) {
  pg::Session session = open_users_database(context, "stream-adopt");
  return stream::plan_adoption(session, request);
}

/// One that keeps a lock from one statement to the next.
pg::Session lasting_session(const Context& context) {
  const pg::Conninfo conninfo = running_database(context.global, choose_database(context.global));
  pg::Connector::Options options = connector_for(conninfo).options();
  options.users_search_path = true;
  options.session.prepare = true;
  const pg::Connector connector(conninfo, options);
  pg::require_session_state(pg::detect_pooling(connector, {.stop = context.stop}),
                            "building an index beside those who write");
  pg::Session session = connector.connect(pg::Role::api, "stream-adopt", {.stop = context.stop});
  session.set_stop(context.stop);
  return session;
}

ExitCode run_stream_adopt(Context& context) {
  const stream::AdoptRequest request = wanted(context);
  stream::AdoptOptions options;
  options.patience = context.arguments.duration("patience", 1ms, 24h).value_or(options.patience);
  const Adoption plan = look(context, request);
  ordered_json document = plan_json(plan);
  const bool dry = context.arguments.has("dry-run");
  if (!context.global.json) context.out.write(plan_text(plan, context.out.paint()));
  if (dry || !agreed(context)) {
    document["adopted"] = false;
    if (context.global.json) context.out.json(document);
    if (dry) return ExitCode::ok;
    throw Error(ExitCode::refused,
                fmt::format("nothing was changed: {} is not adopted before you agree to the plan",
                            printable(plan.table.label())),
                "--yes does it.");
  }
  options.stop = context.stop;
  std::size_t done = 0;
  options.on_step = [&](const AdoptStep& step) {
    context.progress.step(fmt::format("{} of {}: {}, {} on {}", ++done, std::max(done, plan.steps.size()),
                                      step.name, step.lock, printable(step.on)));
  };
  options.on_retry = [&](const AdoptStep& step, int) {
    context.progress.step(fmt::format("{} is in use: waiting for its lock", printable(step.on)));
  };
  pg::Session session = lasting_session(context);
  const stream::AdoptReport report = stream::adopt_stream(session, request, options);
  context.progress.clear();
  if (context.global.json) {
    document["adopted"] = true;
    document["events"] = report.events;
    document["chunks"] = report.chunks;
    context.out.json(document);
    return ExitCode::ok;
  }
  context.out.line(fmt::format("{} is a stream now, with {}: weir stream consume {} --group GROUP",
                               printable(plan.table.label()), events_text(report.events),
                               printable(report.stream.name)));
  return ExitCode::ok;
}

}  // namespace

Command stream_adopt_command() {
  return {
      .path = "stream adopt",
      .summary = "make a stream of a table that is there, without shutting anybody out",
      .description =
          "Adds a column for the numbers of transactions (no row is rewritten) and an index, and cuts the "
          "rows\n"
          "that are there, so that a group with --from beginning has them too. The table must be one that "
          "is\n"
          "only added to. Prints the plan with its locks first, and asks; without a terminal it needs --yes\n"
          "(exit code 5). May be interrupted and run again. weir stream drop NAME --keep-table undoes it.",
      .options = {{"id", 0, "COLUMN", "whole numbers that tell rows apart (default: the primary key)"},
                  {"at", 0, "COLUMN", "when an event happened (default: the only timestamptz)"},
                  {"key", 0, "COLUMN", "whatever events belong together by (default: none)"},
                  {"payload", 0, "COLUMN", "jsonb that handlers are given (default: the whole row)"},
                  {"append-only", 0, "", "nobody updates it any more, whatever it looks like"},
                  {"chunk", 0, "N", "about how many events are handed out together (default: 1000)"},
                  {"patience", 0, "TIME", "how long to try for the lock of a step (default: 2m)"},
                  {"dry-run", 0, "", "only the plan"},
                  {"yes", 'y', "", "do it"}},
      .words = "TABLE",
      .examples = {{"weir stream adopt orders --dry-run",
                    "the steps, their locks, what programs will notice"},
                   {"weir stream adopt app.orders --at placed_at --key customer --yes", ""}},
      .run = run_stream_adopt};
}

}  // namespace weir::cli
