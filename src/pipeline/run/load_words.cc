#include "pipeline/run/load_words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"

namespace weir::pipeline {
namespace {

/// "1 record was", "7 records were"
std::string some(std::int64_t number, std::string_view what) {
  return fmt::format("{} {}{} {}", human_count(number), what, number == 1 ? "" : "s",
                     number == 1 ? "was" : "were");
}

std::vector<std::string> changes_of_columns(const load::LoadReport& report) {
  std::vector<std::string> changes;
  for (const auto& column : report.drift.added)
    changes.push_back(fmt::format("{} {} is new", column.name, column.type.sql));
  for (const auto& column : report.drift.widened)
    changes.push_back(fmt::format("{} becomes {}", column.name, column.type.sql));
  return changes;
}

}  // namespace

std::vector<std::string> load_words(const std::string& target, const load::LoadReport& report) {
  std::vector<std::string> words;
  if (!report.applied) return words;
  const load::Applied& applied = *report.applied;
  const std::string closed =
      applied.closed == 0 ? "" : fmt::format(", {} closed", human_count(applied.closed));
  words.push_back(fmt::format(
      "{}: {} records read; {} inserted, {} updated, {} deleted, {} unchanged{}, {} rejected, in {}", target,
      human_count(static_cast<std::int64_t>(report.records)), human_count(applied.inserted),
      human_count(applied.updated), human_count(applied.deleted), human_count(applied.unchanged), closed,
      human_count(applied.rejected), human_duration(report.took)));
  if (report.created) words.emplace_back("the table was made");
  if (const auto changes = changes_of_columns(report); !changes.empty())
    words.push_back(fmt::format("columns: {}", fmt::join(changes, ", ")));
  if (!report.discarded.empty())
    words.push_back(fmt::format("left out: {}", fmt::join(report.discarded, ", ")));
  if (report.resumed_from > 0)
    words.push_back(some(static_cast<std::int64_t>(report.resumed_from), "record") + " staged already");
  if (applied.duplicates > 0) {
    words.push_back(some(applied.duplicates, "record") +
                    " followed by a later one with the same key, which counts");
  }
  if (applied.withheld_deletes > 0)
    words.push_back(some(applied.withheld_deletes, "row") + " kept that a rejected record may be");
  for (const std::string& notice : report.notices) words.push_back("notice: " + notice);
  for (const std::string& warning : report.plan.warnings) words.push_back("warning: " + warning);
  if (!report.care.skipped.empty()) words.push_back("not vacuumed: " + report.care.skipped);
  for (const std::string& advice : report.care.advice) words.push_back("advice: " + advice);
  if (applied.rejected > 0)
    words.push_back(fmt::format("what was rejected: weir load rejects {}", report.run));
  return words;
}

}  // namespace weir::pipeline
