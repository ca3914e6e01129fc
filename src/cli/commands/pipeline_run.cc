// weir run, weir backfill: runs that somebody asks for.

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/wait.h"
#include "cli/commands.h"
#include "cli/open_database.h"
#include "cli/project/project.h"
#include "pg/transaction.h"
#include "pipeline/run/parameters.h"
#include "pipeline/time/preview.h"
#include "schema/queries/admin.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"

namespace weir::cli {
namespace {

using nlohmann::ordered_json;
using pipeline::Schedule;
using pipeline::utc_text;

constexpr int kMostRuns = 100'000;
constexpr Duration kLookEvery = std::chrono::milliseconds(200);

const std::string& one_word(const Context& context, std::string_view command) {
  const auto& words = context.arguments.words;
  if (words.size() == 1) return words.front();
  throw Error(ExitCode::usage, words.empty() ? "which pipeline?" : "one pipeline at a time",
              fmt::format("Write: weir {} PIPELINE", command));
}

std::map<std::string, std::string> given_parameters(const Arguments& given) {
  std::map<std::string, std::string> parameters;
  for (const std::string& word : given.values("param")) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(ExitCode::usage, fmt::format("--param is '{}', which is not NAME=VALUE", printable(word)),
                  fmt::format("Write: --param {}=VALUE", equals == 0 ? "NAME" : printable(word)));
    }
    parameters[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return parameters;
}

WallTime instant(const Arguments& given, std::string_view option, const pipeline::Zone& zone) {
  const std::string text = given.value(option).value_or("");
  if (const auto at = pipeline::parse_instant(text, zone)) return *at;
  throw Error(ExitCode::usage,
              fmt::format("--{} '{}' is no time in {}", option, printable(text), zone.name()),
              "Write 2026-03-29, 2026-03-29T01:30 or 2026-03-29T01:30Z");
}

/// Until it has ended; its state, or nothing when we were stopped first.
std::optional<std::string> wait_for(Context& context, pg::Session& session, std::int64_t run) {
  Wakeup wakeup;
  for (;;) {
    const auto rows = session.run<sql::ShowRun>(run);
    const auto row = rows.one();
    if (row.ended_at) return std::string(row.state);
    if (wait_fd(-1, 0, Deadline::after(kLookEvery), context.stop, wakeup) == WaitEnd::stopped)
      return std::nullopt;
  }
}

ExitCode run_run(Context& context) {
  const Arguments& given = context.arguments;
  const std::string& name = one_word(context, "run");
  pg::Session session = open_database(context, "run");
  const DeployedPipeline found = find_pipeline(session, name);
  const std::string parameters = pipeline::run_parameters(found.definition, given_parameters(given));
  const Schedule schedule(found.definition.schedule);
  const auto clock = session.run<sql::ServerNow>();
  const WallTime logical = given.has("at") ? instant(given, "at", schedule.zone()) : clock.one().at;
  const auto interval =
      schedule.timed() ? schedule.interval(logical) : pipeline::DataInterval{logical, logical};
  const int priority = given.number("priority", -1000, 1000).value_or(0);

  pg::Transaction transaction(session);
  const auto made =
      session.run<sql::CreateRun>(found.id, "manual", logical, interval.from, interval.to,
                                  pg::JsonView{parameters}, priority, std::nullopt, std::nullopt);
  const auto run = made.one().id;
  if (!run) {
    const auto there = session.run<sql::FindRun>(found.id, "manual", logical);
    throw Error(
        ExitCode::refused,
        fmt::format("{} has a run by hand for {} already: run {}", name, utc_text(logical), there.one().id),
        fmt::format("weir retry {} begins it again; without --at a new one is made.", there.one().id));
  }
  const bool started = !session.run<sql::StartRuns>(found.id).empty();
  transaction.commit();
  if (!context.global.json) {
    context.out.line(
        fmt::format("run {} of {} {}", *run, name, started ? "has started" : "waits for its turn"));
    tell_where_nobody_works(context, session);
    if (!given.has("wait")) return ExitCode::ok;
  } else if (!given.has("wait")) {
    context.out.json(
        {{"run", *run}, {"pipeline", name}, {"logical_at", utc_text(logical)}, {"started", started}});
    return ExitCode::ok;
  }
  context.progress.step("waiting for its end");
  const auto state = wait_for(context, session, *run);
  context.progress.clear();
  if (context.global.json) {
    context.out.json(
        {{"run", *run}, {"pipeline", name}, {"state", state ? ordered_json(*state) : ordered_json()}});
  } else if (state) {
    context.out.line(fmt::format("run {}: {}", *run, *state));
    if (*state != "success") context.progress.note(fmt::format("why: weir runs {}", *run));
  }
  if (!state) return ExitCode::interrupted;
  return *state == "success" ? ExitCode::ok : ExitCode::failed;
}

ExitCode run_backfill(Context& context) {
  const Arguments& given = context.arguments;
  const std::string& name = one_word(context, "backfill");
  if (!given.has("from") || !given.has("to")) {
    throw Error(ExitCode::usage, "backfill needs --from and --to",
                "Write: weir backfill PIPELINE --from 2026-01-01 --to 2026-02-01");
  }
  pg::Session session = open_database(context, "backfill");
  const DeployedPipeline found = find_pipeline(session, name);
  const Schedule schedule(found.definition.schedule);
  if (!schedule.timed()) {
    throw Error(ExitCode::usage, fmt::format("{} has no schedule that says which times are in a range", name),
                "Start it once for each: weir run PIPELINE --at TIME");
  }
  const WallTime from = instant(given, "from", schedule.zone());
  const WallTime to = instant(given, "to", schedule.zone());
  if (to <= from)
    throw Error(ExitCode::usage, "--to is not after --from", "The range is from --from on, up to --to.");
  const std::string parameters = pipeline::run_parameters(found.definition, given_parameters(given));
  const int parallel = given.number("parallel", 1, 1000).value_or(1);
  // Runs whose data lies in [from, to).
  std::vector<WallTime> times;
  for (auto at = schedule.next_after(from); at && *at <= to; at = schedule.next_after(*at)) {
    times.push_back(*at);
    if (times.size() > kMostRuns)
      throw Error(ExitCode::refused, fmt::format("that would be more than {} runs", human_count(kMostRuns)),
                  "Take a part of the range.");
  }
  if (times.empty()) {
    throw Error(ExitCode::usage, fmt::format("no logical time of {} lies in that range", name),
                fmt::format("weir next {} --after TIME shows those of the project.", name));
  }
  const bool really = given.has("yes");
  if (!context.global.json) {
    context.out.line(fmt::format("{}: {} run{}, {} at a time, for the data from {} to {}", name,
                                 human_count(static_cast<std::int64_t>(times.size())),
                                 times.size() == 1 ? "" : "s", parallel,
                                 utc_text(schedule.interval(times.front()).from), utc_text(times.back())));
  }
  std::int64_t made = 0;
  std::optional<std::int64_t> backfill;
  if (really) {
    pg::Transaction transaction(session);
    const auto row =
        session.run<sql::MakeBackfill>(found.id, parallel, from, to, static_cast<std::int32_t>(times.size()));
    backfill = row.one().id;
    for (const WallTime at : times) {
      const pipeline::DataInterval interval = schedule.interval(at);
      const auto run = session.run<sql::CreateRun>(found.id, "backfill", at, interval.from, interval.to,
                                                   pg::JsonView{parameters}, -1, std::nullopt, backfill);
      made += run.one().id ? 1 : 0;
    }
    session.run<sql::StartRuns>(found.id);
    transaction.commit();
  }
  if (context.global.json) {
    context.out.json({{"pipeline", name},
                      {"runs", times.size()},
                      {"made", made},
                      {"parallel", parallel},
                      {"backfill", backfill ? ordered_json(*backfill) : ordered_json()}});
  } else if (!really) {
    context.progress.note("that is the plan; --yes makes these runs");
  } else {
    const std::int64_t there = static_cast<std::int64_t>(times.size()) - made;
    context.out.line(fmt::format(
        "backfill {}: {} made{}", *backfill, made == 1 ? "1 run is" : human_count(made) + " runs are",
        there > 0 ? fmt::format(", {} were there already", human_count(there)) : ""));
    tell_where_nobody_works(context, session);
  }
  return ExitCode::ok;
}

const OptionSpec kParam{"param", 'p', "NAME=VALUE", "a parameter of the run; may be given several times"};

}  // namespace

Command run_command() {
  return {.path = "run",
          .summary = "start a run of a pipeline",
          .description =
              "Makes a run and says its number. With --wait it stays until the run has ended: exit code 0 "
              "when it\n"
              "succeeded, 1 when it did not. Where the pipeline has a schedule, its data interval reaches "
              "from the\n"
              "scheduled time before --at up to it.",
          .options = {kParam,
                      {"at", 0, "TIME", "its logical time (default: now)"},
                      {"priority", 0, "N", "added to that of its tasks"},
                      {"wait", 'w', "", "until it has ended"}},
          .words = "PIPELINE",
          .examples = {{"weir run rates --wait", ""}, {"weir run report -p country=de --at 2026-03-01", ""}},
          .run = run_run};
}

Command backfill_command() {
  return {.path = "backfill",
          .summary = "make the runs of a range of time",
          .description =
              "Says first what it would make: a run for each logical time whose data lies between --from and "
              "--to. Times\n"
              "that were backfilled before are left out.",
          .options = {{"from", 0, "TIME", "where the data begins"},
                      {"to", 0, "TIME", "where it ends"},
                      {"parallel", 0, "N", "runs at a time (default: 1)"},
                      kParam,
                      {"yes", 'y', "", "do it"}},
          .words = "PIPELINE",
          .examples = {{"weir backfill rates --from 2026-01-01 --to 2026-02-01 --parallel 4 --yes", ""}},
          .run = run_backfill};
}

}  // namespace weir::cli
