#include "cli/load/report.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/term/table.h"

namespace weir::cli {
namespace {

using load::LoadReport;
using load::LockMode;
using nlohmann::ordered_json;

Color shade(LockMode lock) {
  if (lock == LockMode::none) return Color::dim;
  return lock <= LockMode::row_exclusive ? Color::green
                                         : (lock < LockMode::access_exclusive ? Color::yellow : Color::red);
}

std::string lock_text(LockMode lock) {
  return lock == LockMode::none ? "-" : std::string(load::to_string(lock));
}

std::string percent(double share) { return fmt::format("{:g}%", share * 100); }

std::string count(std::uint64_t number) { return human_count(static_cast<std::int64_t>(number)); }

/// Two columns: what, and what of it. A line that has nothing to say is left out.
class Lines {
 public:
  explicit Lines() : table_({{""}, {""}, {""}}) {}
  void add(std::string_view what, const std::string& value) {
    if (!value.empty()) table_.add({"", Table::Cell(std::string(what), Color::dim), value});
  }
  [[nodiscard]] std::string render(const Paint& paint) const { return table_.render(paint); }

 private:
  Table table_;
};

/// What readers of the target meet while it is written; care comes afterwards and steps aside for them.
LockMode strongest_on_target(const LoadReport& report, bool with_columns = true) {
  LockMode strongest = LockMode::none;
  for (const load::Step& step : report.plan.steps) {
    if (!with_columns && step.phase == load::Step::Phase::columns) continue;
    const bool is_apart = step.phase == load::Step::Phase::stage || step.phase == load::Step::Phase::care;
    if (!is_apart) strongest = std::max(strongest, step.lock);
  }
  return strongest;
}

std::string limits_text(const load::LoadSpec& spec) {
  const std::string rejects = spec.rejects.share ? percent(*spec.rejects.share) + " of the records"
                                                 : human_count(spec.rejects.rows) + " records";
  std::string text = fmt::format("at most {} rejected", rejects);
  if (spec.mode != load::Mode::append && spec.mode != load::Mode::upsert) {
    text += spec.guard.allow_mass_delete
                ? ", any number of rows deleted"
                : fmt::format(", at most {} of the rows deleted", percent(spec.guard.max_delete_share));
    text += spec.guard.allow_empty ? ", an empty source empties it" : ", an empty source is refused";
  }
  return text;
}

std::string indented(std::string_view sql) {
  std::string text;
  while (!sql.empty()) {
    const std::size_t end = std::min(sql.find('\n'), sql.size());
    text += fmt::format("    {}\n", printable(sql.substr(0, end)));
    sql.remove_prefix(std::min(end + 1, sql.size()));
  }
  return text;
}

ordered_json text_or_null(const std::string& text) {
  return text.empty() ? ordered_json() : ordered_json(text);
}

ordered_json columns_json(const std::vector<load::NewColumn>& columns) {
  ordered_json all = ordered_json::array();
  for (const load::NewColumn& column : columns)
    all.push_back({{"name", column.name}, {"type", column.type.sql}});
  return all;
}

ordered_json steps_json(const load::Plan& plan) {
  ordered_json steps = ordered_json::array();
  for (const load::Step& step : plan.steps) {
    steps.push_back(
        {{"phase", load::to_string(step.phase)},
         {"step", step.name},
         {"relation", text_or_null(step.relation)},
         {"lock", step.lock == LockMode::none ? ordered_json() : ordered_json(load::to_string(step.lock))},
         {"note", text_or_null(step.note)},
         {"sql", text_or_null(step.sql)}});
  }
  return steps;
}

ordered_json refusals_json(const load::Plan& plan) {
  ordered_json refusals = ordered_json::array();
  for (const load::Refusal& refusal : plan.refusals)
    refusals.push_back({{"reason", refusal.reason}, {"remedy", refusal.remedy}});
  return refusals;
}

/// Nothing where nothing was read, as where an earlier run had read all of it.
std::optional<double> rows_per_second(const LoadReport& report) {
  if (report.resumed_from >= report.records) return std::nullopt;
  return static_cast<double>(report.records - report.resumed_from) / std::max(to_seconds(report.took), 1e-3);
}

std::string time_text(const LoadReport& report) {
  std::string text = human_duration(report.took);
  if (const auto rate = rows_per_second(report))
    text += fmt::format(", {} records/s", human_count(static_cast<std::int64_t>(*rate)));
  if (report.applied && !report.direct)
    text += fmt::format("; the apply transaction {}", human_duration(report.applied->took));
  return text;
}

std::string drift_text(const load::Drift& drift) {
  std::vector<std::string> changes;
  for (const auto& column : drift.added)
    changes.push_back(fmt::format("{} {} is new", column.name, column.type.sql));
  for (const auto& column : drift.widened)
    changes.push_back(fmt::format("{} becomes {}", column.name, column.type.sql));
  return fmt::format("{}", fmt::join(changes, ", "));
}

std::string notices_text(const LoadReport& report, const Paint& paint) {
  std::string text;
  for (const std::string& notice : report.notices)
    text += paint(Color::yellow, "  notice: ") + printable(notice) + "\n";
  return text;
}

std::string care_text(const load::CareReport& care) {
  std::vector<std::string> parts;
  if (care.vacuumed) parts.emplace_back("vacuumed");
  if (care.analyzed) parts.emplace_back("analyzed");
  if (!care.skipped.empty()) parts.push_back("not vacuumed: " + care.skipped);
  return fmt::format("{}", fmt::join(parts, ", "));
}

/// Null where nobody knows how many there were.
template <class Value>
ordered_json known(std::int64_t count, Value value) {
  return count < 0 ? ordered_json() : ordered_json(value);
}

/// Who stood behind the load, as the server saw it at its commit.
std::string waiting_text(const load::Waiting& waiting) {
  if (waiting.readers < 0 || waiting.others < 0) return "not known";
  std::string text = "none waited";
  if (waiting.readers > 0)
    text = fmt::format("{} waited, at most {}", human_count(waiting.readers),
                       human_duration(waiting.longest_reader));
  if (waiting.others > 0) {
    text += fmt::format("; {} other{}, at most {}", human_count(waiting.others),
                        waiting.others == 1 ? "" : "s", human_duration(waiting.longest_other));
  }
  return text;
}

void add_applied(Lines& lines, const LoadReport& report) {
  const load::Applied& applied = *report.applied;
  lines.add("rows", actions_text(applied));
  std::string bad = fmt::format("{} rejected", human_count(applied.rejected));
  if (applied.duplicates > 0) bad += fmt::format(", {} duplicates", human_count(applied.duplicates));
  if (applied.withheld_deletes > 0)
    bad += fmt::format(", {} rows kept that a rejected record may be", human_count(applied.withheld_deletes));
  lines.add("records", fmt::format("{} read, {}", count(report.records), bad));
  lines.add("locks", fmt::format("{} at most, longest wait {}{}", lock_text(applied.strongest_lock),
                                 human_duration(applied.longest_wait),
                                 report.drift.none() ? "" : "; ACCESS EXCLUSIVE to change its columns"));
  lines.add("readers", waiting_text(applied.waiting));
  lines.add("WAL", applied.wal_bytes ? human_bytes(static_cast<std::uint64_t>(*applied.wal_bytes))
                                     : "not known (the role may not look)");
  lines.add("dead rows", human_count(applied.dead_rows));
  if (applied.attempts > 1) lines.add("attempts", fmt::format("{}", applied.attempts));
  if (applied.was_in_doubt)
    lines.add("commit", "its answer was lost; another session found that it had happened");
}

}  // namespace

std::string actions_text(const load::Applied& applied) {
  std::vector<std::string> parts;
  const auto add = [&](std::int64_t number, std::string_view what) {
    if (number != 0) parts.push_back(fmt::format("{} {}", human_count(number), what));
  };
  add(applied.inserted, "inserted");
  add(applied.updated, "updated");
  add(applied.closed, "closed");
  add(applied.deleted, "deleted");
  add(applied.unchanged, "unchanged");
  return parts.empty() ? "nothing to do" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string plan_text(const LoadReport& report, const LoadSubject& subject, const Paint& paint) {
  const load::LoadSpec& spec = subject.options.spec;
  std::string text = paint(Color::bold, fmt::format("{} into {}, mode {}: nothing was changed",
                                                    printable(subject.options.source),
                                                    printable(report.target), load::to_string(spec.mode))) +
                     "\n\n";
  if (report.created) text += "  The table is made first:\n" + indented(report.created_sql) + "\n";
  if (!subject.alter_sql.empty())
    text +=
        "  The table is changed first, in a transaction of its own:\n" + indented(subject.alter_sql) + "\n";
  Table table({{"  step"}, {"of"}, {"strongest lock"}, {"on"}, {"note"}});
  for (const load::Step& step : report.plan.steps) {
    table.add({"  " + step.name, std::string(load::to_string(step.phase)),
               Table::Cell(lock_text(step.lock), shade(step.lock)), step.relation, step.note});
  }
  if (!report.plan.steps.empty()) text += table.render(paint) + "\n";
  Lines lines;
  const LockMode strongest = strongest_on_target(report, false);
  lines.add(
      "readers meet",
      fmt::format("{}{}{}", subject.alter_sql.empty() ? "" : "ACCESS EXCLUSIVE for the columns; then ",
                  lock_text(strongest),
                  strongest < LockMode::access_exclusive ? ": no SELECT ever waits" : ": SELECTs wait"));
  lines.add("limits", limits_text(spec));
  lines.add("left out", fmt::format("{}", fmt::join(report.discarded, ", ")));
  lines.add("sample",
            fmt::format("{} records read, {} rejected", count(report.records), count(report.rejected)));
  text += lines.render(paint);
  text += notices_text(report, paint);
  for (const std::string& warning : report.plan.warnings)
    text += paint(Color::yellow, "  warning: ") + printable(warning) + "\n";
  for (const load::Refusal& refusal : report.plan.refusals) {
    text += paint(Color::red, "  refused: ") + printable(refusal.reason) + "\n";
    if (!refusal.remedy.empty()) text += "           " + printable(refusal.remedy) + "\n";
  }
  return text;
}

ordered_json plan_json(const LoadReport& report, const LoadSubject& subject) {
  const load::LoadSpec& spec = subject.options.spec;
  const LockMode strongest = strongest_on_target(report);
  return {{"dry_run", true},
          {"target", report.target},
          {"source", subject.options.source},
          {"mode", load::to_string(spec.mode)},
          {"create_sql", text_or_null(report.created_sql)},
          {"alter_sql", text_or_null(subject.alter_sql)},
          {"columns_added", columns_json(report.drift.added)},
          {"columns_widened", columns_json(report.drift.widened)},
          {"columns_left_out", report.discarded},
          {"steps", steps_json(report.plan)},
          {"strongest_lock",
           strongest == LockMode::none ? ordered_json() : ordered_json(load::to_string(strongest))},
          {"max_rejects", spec.rejects.share ? ordered_json() : ordered_json(spec.rejects.rows)},
          {"max_reject_share", spec.rejects.share ? ordered_json(*spec.rejects.share) : ordered_json()},
          {"max_delete_share",
           spec.guard.allow_mass_delete ? ordered_json() : ordered_json(spec.guard.max_delete_share)},
          {"allow_empty", spec.guard.allow_empty},
          {"refusals", refusals_json(report.plan)},
          {"warnings", report.plan.warnings},
          {"notices", report.notices},
          {"sampled", report.records},
          {"sample_rejected", report.rejected}};
}

std::string summary_text(const LoadReport& report, const LoadSubject& subject, const Paint& paint) {
  std::string text = paint(Color::bold, fmt::format("{}: {} of {}, run {}", printable(report.target),
                                                    load::to_string(subject.options.spec.mode),
                                                    printable(subject.options.source), report.run)) +
                     "\n";
  Lines lines;
  if (report.created) lines.add("table", "made");
  lines.add("columns", drift_text(report.drift));
  lines.add("left out", fmt::format("{}", fmt::join(report.discarded, ", ")));
  if (report.resumed_from > 0)
    lines.add("resumed", fmt::format("{} records were staged already", count(report.resumed_from)));
  if (report.applied) add_applied(lines, report);
  if (report.direct) lines.add("path", "straight into the table");
  lines.add("care", care_text(report.care));
  lines.add("time", time_text(report));
  text += lines.render(paint);
  text += notices_text(report, paint);
  for (const std::string& warning : report.plan.warnings)
    text += paint(Color::yellow, "  warning: ") + printable(warning) + "\n";
  for (const std::string& advice : report.care.advice) text += "  advice: " + printable(advice) + "\n";
  if (report.applied && report.applied->rejected > 0)
    text += fmt::format("  what was rejected: weir load rejects {}\n", report.run);
  return text;
}

ordered_json summary_json(const LoadReport& report, const LoadSubject& subject) {
  ordered_json document{{"dry_run", false},
                        {"run", std::to_string(report.run)},
                        {"target", report.target},
                        {"source", subject.options.source},
                        {"mode", load::to_string(subject.options.spec.mode)},
                        {"created", report.created},
                        {"columns_added", columns_json(report.drift.added)},
                        {"columns_widened", columns_json(report.drift.widened)},
                        {"columns_left_out", report.discarded},
                        {"records", report.records},
                        {"resumed_from", report.resumed_from},
                        {"rejected", report.rejected},
                        {"direct", report.direct},
                        {"seconds", to_seconds(report.took)},
                        {"records_per_second", nullptr}};
  if (const auto rate = rows_per_second(report)) document["records_per_second"] = *rate;
  if (report.applied) {
    const load::Applied& applied = *report.applied;
    const ordered_json done{
        {"inserted", applied.inserted},
        {"updated", applied.updated},
        {"deleted", applied.deleted},
        {"unchanged", applied.unchanged},
        {"closed", applied.closed},
        {"duplicates", applied.duplicates},
        {"withheld_deletes", applied.withheld_deletes},
        {"rows_before", applied.rows_before},
        {"wal_bytes", applied.wal_bytes ? ordered_json(*applied.wal_bytes) : ordered_json()},
        {"strongest_lock", load::to_string(applied.strongest_lock)},
        {"longest_wait_seconds", to_seconds(applied.longest_wait)},
        {"readers_waited", known(applied.waiting.readers, applied.waiting.readers)},
        {"longest_reader_wait_seconds",
         known(applied.waiting.readers, to_seconds(applied.waiting.longest_reader))},
        {"others_waited", known(applied.waiting.others, applied.waiting.others)},
        {"longest_other_wait_seconds",
         known(applied.waiting.others, to_seconds(applied.waiting.longest_other))},
        {"dead_rows", applied.dead_rows},
        {"attempts", applied.attempts},
        {"apply_seconds", to_seconds(applied.took)},
        {"was_in_doubt", applied.was_in_doubt}};
    document.update(done);
    document["rejected"] = applied.rejected;
  }
  document.update(ordered_json::parse(report.losses.counts()));
  document["care"] = {{"vacuumed", report.care.vacuumed},
                      {"analyzed", report.care.analyzed},
                      {"skipped", text_or_null(report.care.skipped)},
                      {"advice", report.care.advice}};
  document["warnings"] = report.plan.warnings;
  document["notices"] = report.notices;
  return document;
}

}  // namespace weir::cli
