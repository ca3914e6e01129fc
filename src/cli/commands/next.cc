#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/project/project.h"
#include "cli/term/table.h"
#include "pipeline/time/preview.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using pipeline::Occurrence;
using pipeline::Zone;

constexpr int kMostShown = 10'000;

pipeline::DstRule dst_rule(const Arguments& arguments) {
  using Rule = pipeline::DstRule;
  Rule rule;
  const auto refuse = [](std::string_view option, const std::string& value, std::string_view words) {
    throw Error(ExitCode::usage, fmt::format("--{} is not {}", option, printable(value)),
                fmt::format("It is one of {}.", words));
  };
  if (const auto gap = arguments.value("gap")) {
    if (*gap == "skip")
      rule.gap = Rule::Gap::skip;
    else if (*gap != "shift")
      refuse("gap", *gap, "shift, skip");
  }
  if (const auto overlap = arguments.value("overlap")) {
    if (*overlap == "last")
      rule.overlap = Rule::Overlap::last;
    else if (*overlap == "both")
      rule.overlap = Rule::Overlap::both;
    else if (*overlap != "first")
      refuse("overlap", *overlap, "first, last, both");
  }
  return rule;
}

/// Of a pipeline of the project, as it is written, not as it is deployed.
pipeline::ScheduleDefinition schedule_of(const Context& context, const std::string& name) {
  const auto project = load_project(context, context.global.project);
  std::vector<std::string_view> names;
  for (const auto& each : project.pipelines) {
    if (each.name == name) {
      if (!each.schedule.cron.empty() || each.schedule.every) return each.schedule;
      throw Error(ExitCode::usage, fmt::format("{} has no times: it runs by hand, or after datasets", name));
    }
    names.emplace_back(each.name);
  }
  const auto near = closest(name, names);
  throw Error(ExitCode::usage, fmt::format("the project has no pipeline '{}'", printable(name)),
              near ? fmt::format("Did you mean '{}'?", *near) : "weir check lists them.");
}

pipeline::ScheduleDefinition definition_of(const Context& context) {
  const Arguments& arguments = context.arguments;
  if (!arguments.words.empty()) {
    const bool both = arguments.has("cron") || arguments.has("every") || arguments.has("timezone");
    if (arguments.words.size() == 1 && !both) return schedule_of(context, arguments.words.front());
    throw Error(ExitCode::usage, both ? "a pipeline has a schedule of its own" : "one pipeline at a time",
                "Write: weir next PIPELINE, or weir next --cron EXPR");
  }
  const auto cron = arguments.value("cron");
  const auto every = arguments.duration("every", std::chrono::seconds(1), std::chrono::hours(24 * 366));
  if (cron.has_value() == every.has_value()) {
    throw Error(ExitCode::usage, cron ? "--cron and --every contradict each other" : "the next runs of what?",
                "Write: weir next PIPELINE, or weir next --cron '30 6 * * mon-fri' --timezone Europe/Berlin");
  }
  return {.cron = cron.value_or(""),
          .every = every,
          .timezone = arguments.value("timezone").value_or("UTC"),
          .dst = dst_rule(arguments)};
}

WallTime instant_of(const std::string& text, std::string_view option, const Zone& zone) {
  if (const auto at = pipeline::parse_instant(text, zone)) return *at;
  throw Error(ExitCode::usage,
              fmt::format("--{} '{}' is no time in {}", option, printable(text), zone.name()),
              "Write 2026-03-29, 2026-03-29T01:30 or 2026-03-29T01:30Z");
}

ordered_json json_of(const Occurrence& run) {
  return {{"at", run.utc},
          {"local", run.local},
          {"zone", run.zone},
          {"interval_start", pipeline::utc_text(run.interval.from)},
          {"interval_end", pipeline::utc_text(run.interval.to)},
          {"note", run.note.empty() ? ordered_json() : ordered_json(run.note)}};
}

/// As people write it: a blank for the T, and no offset, which the zone's letters tell.
std::string for_people(std::string text) {
  const std::size_t blank = text.find('T');
  text.resize(text.find_first_of("Z+-", blank));
  text[blank] = ' ';
  return text;
}

ExitCode run_next(Context& context) {
  const Arguments& arguments = context.arguments;
  pipeline::ScheduleDefinition definition = definition_of(context);
  const Zone zone = Zone::load(definition.timezone);
  if (const auto start = arguments.value("start")) definition.start = instant_of(*start, "start", zone);
  const auto after = arguments.value("after");
  const WallTime from = after ? instant_of(*after, "after", zone)
                              : std::chrono::floor<std::chrono::seconds>(Clock::system().wall());
  const int count = arguments.number("count", 1, kMostShown).value_or(5);
  const auto runs = pipeline::preview(pipeline::Schedule(definition), from, count);

  if (context.global.json) {
    ordered_json all = ordered_json::array();
    for (const Occurrence& run : runs) all.push_back(json_of(run));
    context.out.json({{"timezone", zone.name()}, {"after", pipeline::utc_text(from)}, {"runs", all}});
    return ExitCode::ok;
  }
  Table table({{zone.name()}, {""}, {"UTC"}, {""}});
  for (const Occurrence& run : runs) {
    table.add({for_people(run.local), run.zone, for_people(run.utc), {run.note, Color::yellow}});
  }
  if (!runs.empty()) context.out.write(table.render(context.out.paint()));
  if (runs.size() < static_cast<std::size_t>(count)) context.progress.note("after that there are none");
  return ExitCode::ok;
}

}  // namespace

Command next_command() {
  return {
      .path = "next",
      .summary = "show when a schedule runs next, in local time and UTC",
      .description =
          "Five fields of cron, or @daily and the like; a note tells what a change of the clocks does. "
          "Hours\n"
          "with a * or a step are a rhythm and follow real time; any other hour comes once in each local\n"
          "day: after the gap where it is skipped, the first time where it is repeated. Connects to nothing.",
      .options = {{"cron", 0, "EXPR", "minute hour day-of-month month day-of-week"},
                  {"every", 0, "D", "a fixed rhythm instead: 30s, 5m, 1d"},
                  {"timezone", 'z', "ZONE", "of the IANA database (default: UTC)"},
                  {"count", 'n', "N", "so many (default: 5)"},
                  {"after", 0, "TIME", "those after it, instead of after now"},
                  {"start", 0, "TIME", "the first one may be at it; --every counts from it"},
                  {"gap", 0, "RULE", "a fixed hour that is skipped: shift (default), skip"},
                  {"overlap", 0, "RULE", "a fixed hour that comes twice: first (default), last, both"}},
      .words = "[PIPELINE]",
      .examples = {{"weir next rates", "of the project in this folder"},
                   {"weir next --cron '30 2 * * *' -z Europe/Berlin --after 2026-03-28", ""},
                   {"weir next --every 90m -n 3 --json", ""}},
      .run = run_next};
}

}  // namespace weir::cli
