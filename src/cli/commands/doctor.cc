#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/database.h"
#include "cli/doctor/judge.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

constexpr int kMostProcesses = 10'000;
constexpr int kMostSlots = 1000;
constexpr int kSlots = 8;

struct Examination {
  Findings findings;
  bool reached = true;
};

Examination examine(Context& context) {
  const auto processes = context.arguments.number("processes", 1, kMostProcesses);
  const int slots = context.arguments.number("slots", 1, kMostSlots).value_or(kSlots);
  const DatabaseChoice choice = choose_database(context.global);
  Examination result;
  try {
    const pg::Conninfo conninfo = running_database(context.global, choice);
    const DoctorFacts facts = gather_facts(connector_for(conninfo, false), processes, slots, context.stop);
    result.findings.push_back(
        {.check = "connection", .message = fmt::format("{} ({})", conninfo.display(), choice.source)});
    const Findings judged = judge(facts);
    result.findings.insert(result.findings.end(), judged.begin(), judged.end());
  } catch (const Error& error) {
    // Not to reach the database is a finding; anything else, a wrong URL for one, is an error as ever.
    if (error.exit_code() != ExitCode::database) throw;
    result.reached = false;
    result.findings = {
        {.check = "connection", .verdict = Verdict::fail, .message = error.what(), .remedy = error.remedy()}};
  }
  return result;
}

std::string to_text(const Findings& findings, const Paint& paint) {
  std::string text;
  for (const Finding& finding : findings) {
    const Color color = finding.verdict == Verdict::ok     ? Color::green
                        : finding.verdict == Verdict::warn ? Color::yellow
                                                           : Color::red;
    text += fmt::format("{}  {:<11}  {}\n", paint(color, fmt::format("{:<4}", to_string(finding.verdict))),
                        finding.check, printable(finding.message));
    if (finding.verdict != Verdict::ok && !finding.remedy.empty())
      text += fmt::format("{:19}{}\n", "", printable(finding.remedy));
  }
  return text;
}

nlohmann::ordered_json to_json(const Findings& findings, bool ok) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    checks.push_back({{"check", finding.check},
                      {"verdict", to_string(finding.verdict)},
                      {"message", finding.message},
                      {"remedy", finding.remedy}});
  }
  return {{"ok", ok}, {"checks", checks}};
}

std::string summary(const Findings& findings) {
  const auto count = [&](Verdict verdict) {
    return std::count_if(findings.begin(), findings.end(),
                         [&](const Finding& finding) { return finding.verdict == verdict; });
  };
  return fmt::format("{} ok, {} to look at, {} failed", count(Verdict::ok), count(Verdict::warn),
                     count(Verdict::fail));
}

ExitCode run_doctor(Context& context) {
  const auto [findings, reached] = examine(context);
  const bool ok = std::none_of(findings.begin(), findings.end(),
                               [](const Finding& finding) { return finding.verdict == Verdict::fail; });
  if (context.global.json) {
    context.out.json(to_json(findings, ok));
  } else {
    context.out.write(to_text(findings, context.out.paint()));
    context.out.line(summary(findings));
  }
  if (!reached) return ExitCode::database;
  return ok ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

Command doctor_command() {
  return {
      .path = "doctor",
      .summary = "check the database and the way to it, and say what to do",
      .description =
          "Changes nothing. Checks the connection, the server's version, whether it can be written to, a "
          "pooler\n"
          "in between, the budget of connections, settings, schema, privileges, roles, clocks, encoding and\n"
          "old transactions; and in a database that Weir works on its processes, schedules, pools, alerts,\n"
          "history, and whether its tables are read by index. Each is ok, warn or fail, with its figures "
          "and\n"
          "what to do. Exit code 0 when nothing failed (what is to look at does not count), 1 when a check\n"
          "failed, 4 when the database cannot be reached.",
      .options = {{"processes", 0, "N",
                   "count connections for N processes of Weir (default: those that live)"},
                  {"slots", 0, "N", "of each of them (default: 8)"}},
      .examples = {{"weir doctor", ""},
                   {"weir doctor --processes 8", "would eight processes fit?"},
                   {"weir doctor --json", "one document: ok, checks[]"}},
      .run = run_doctor};
}

}  // namespace weir::cli
