// Plan, summary, progress and replays as texts and documents.
#include <gtest/gtest.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cli/load/progress.h"
#include "cli/load/replay.h"
#include "cli/load/report.h"
#include "cli/load/runs.h"
#include "load/read/json_inputs.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using load::LockMode;
using load::Step;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

load::LoadOptions options() {
  load::LoadOptions options{.source = "rates.csv", .target = "rates"};
  options.spec.key = {"ts"};
  return options;
}

load::LoadReport planned() {
  load::LoadReport report;
  report.target = "rates";
  report.records = 200;
  report.plan.steps = {
      {Step::Phase::stage, "copy", "", "weir_stage.stage", LockMode::row_exclusive, ""},
      {Step::Phase::apply, "delete", "DELETE ..", "rates", LockMode::row_exclusive, "in key order"},
      {Step::Phase::care, "analyze", "", "rates", LockMode::none, ""}};
  return report;
}

TEST(CliLoadPlan, HasALineForEachStep) {
  const load::LoadOptions chosen = options();
  EXPECT_EQ(plan_text(planned(), {chosen}, Paint(false)),
            "rates.csv into rates, mode refresh: nothing was changed\n"
            "\n"
            "  step     of     strongest lock  on                note\n"
            "  copy     stage  ROW EXCLUSIVE   weir_stage.stage\n"
            "  delete   apply  ROW EXCLUSIVE   rates             in key order\n"
            "  analyze  care   -               rates\n"
            "\n"
            "  readers meet  ROW EXCLUSIVE: no SELECT ever waits\n"
            "  limits        at most 0 records rejected, at most 20% of the rows deleted, an empty source is "
            "refused\n"
            "  sample        200 records read, 0 rejected\n");
}

TEST(CliLoadPlan, ShowsDefinitionsRefusalsAndWarnings) {
  load::LoadReport report = planned();
  report.created = true;
  report.created_sql = "CREATE TABLE rates (\n  ts date)";
  report.plan.steps.push_back({Step::Phase::swap, "rename", "", "rates", LockMode::access_exclusive, ""});
  report.plan.warnings = {"a view"};
  report.plan.refusals = {{"row security", "load as its owner"}};
  report.discarded = {"a", "b"};
  load::LoadOptions chosen = options();
  chosen.spec.rejects.share = 0.01;
  chosen.spec.guard = {.allow_mass_delete = true, .allow_empty = true};
  const std::string text = plan_text(report, {chosen, "ALTER TABLE rates ADD x int4"}, Paint(false));
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("    CREATE TABLE rates (\n      ts date)\n"), HasSubstr("    ALTER TABLE rates ADD"),
            HasSubstr("ACCESS EXCLUSIVE: SELECTs wait"), HasSubstr("  warning: a view\n"),
            HasSubstr("  refused: row security\n           load as its owner\n"),
            HasSubstr("left out      a, b"),
            HasSubstr("at most 1% of the records rejected, any number of rows deleted, an empty source "
                      "empties it")));
  const auto document = plan_json(report, {chosen});
  EXPECT_EQ(document.at("strongest_lock"), "ACCESS EXCLUSIVE");
  EXPECT_EQ(document.at("steps").size(), 4U);
  EXPECT_TRUE(document.at("steps").at(2).at("lock").is_null());
  EXPECT_EQ(document.at("refusals").at(0).at("remedy"), "load as its owner");
  EXPECT_EQ(document.at("max_reject_share"), 0.01);
  EXPECT_TRUE(document.at("max_delete_share").is_null());
}

TEST(CliLoadSummary, SaysWhatWasDoneAndWhatItCost) {
  load::LoadReport report = planned();
  report.run = 12;
  report.resumed_from = 100;
  report.took = 2s;
  report.applied =
      load::Applied{.inserted = 3,
                    .updated = 2,
                    .deleted = 1,
                    .unchanged = 194,
                    .duplicates = 4,
                    .rejected = 1,
                    .wal_bytes = 2048,
                    .strongest_lock = LockMode::row_exclusive,
                    .longest_wait = 3ms,
                    .waiting = {.readers = 2, .longest_reader = 40ms, .others = 1, .longest_other = 2s},
                    .dead_rows = 3,
                    .attempts = 2,
                    .took = 30ms};
  report.care = {.vacuumed = true, .analyzed = true, .advice = {"REINDEX"}};
  const load::LoadOptions chosen = options();
  EXPECT_EQ(summary_text(report, {chosen}, Paint(false)),
            "rates: refresh of rates.csv, run 12\n"
            "  resumed    100 records were staged already\n"
            "  rows       3 inserted, 2 updated, 1 deleted, 194 unchanged\n"
            "  records    200 read, 1 rejected, 4 duplicates\n"
            "  locks      ROW EXCLUSIVE at most, longest wait 3 ms\n"
            "  readers    2 waited, at most 40 ms; 1 other, at most 2.0 s\n"
            "  WAL        2.0 KiB\n"
            "  dead rows  3\n"
            "  attempts   2\n"
            "  care       vacuumed, analyzed\n"
            "  time       2.0 s, 50 records/s; the apply transaction 30 ms\n"
            "  advice: REINDEX\n"
            "  what was rejected: weir load rejects 12\n");
  const auto document = summary_json(report, {chosen});
  EXPECT_EQ(document.at("run"), "12");
  EXPECT_EQ(document.at("inserted"), 3);
  EXPECT_EQ(document.at("rejected"), 1);
  EXPECT_EQ(document.at("strongest_lock"), "ROW EXCLUSIVE");
  EXPECT_EQ(document.at("readers_waited"), 2);
  EXPECT_EQ(document.at("longest_other_wait_seconds"), 2.0);
  EXPECT_EQ(document.at("records_per_second"), 50.0);
  EXPECT_EQ(document.at("care").at("vacuumed"), true);
  report.resumed_from = report.records;
  EXPECT_THAT(summary_text(report, {chosen}, Paint(false)), HasSubstr("  time       2.0 s; the apply"));
  EXPECT_TRUE(summary_json(report, {chosen}).at("records_per_second").is_null()) << "none was read";
  report.notices = {"a.csv: read as windows-1252"};
  EXPECT_THAT(summary_text(report, {chosen}, Paint(false)),
              HasSubstr("  notice: a.csv: read as windows-1252\n"));
  EXPECT_THAT(plan_text(report, {chosen}, Paint(false)),
              HasSubstr("  notice: a.csv: read as windows-1252\n"));
  EXPECT_EQ(summary_json(report, {chosen}).at("notices").at(0), "a.csv: read as windows-1252");
  EXPECT_EQ(plan_json(report, {chosen}).at("notices").size(), 1U);
  report.applied->wal_bytes.reset();
  EXPECT_TRUE(summary_json(report, {chosen}).at("wal_bytes").is_null());
}

load::LoadProgress progress(load::LoadProgress::Phase phase, std::uint64_t rows, std::uint64_t bytes) {
  return {.phase = phase, .rows = rows, .read = {.bytes = bytes, .total = 1000}};
}

TEST(CliLoadProgress, TellsRateAndWhatIsLeft) {
  using Phase = load::LoadProgress::Phase;
  LoadMeter meter;
  const SteadyTime start{};
  const auto first = meter.add(progress(Phase::stage, 0, 0), start);
  EXPECT_FALSE(first.left);
  EXPECT_EQ(progress_text(first), "stage [----------] 0%") << "nobody has counted rows yet";
  const auto later = meter.add(progress(Phase::stage, 50'000, 250), start + 2s);
  EXPECT_DOUBLE_EQ(later.rows_per_second, 25'000);
  EXPECT_DOUBLE_EQ(later.left.value_or(0), 6);
  EXPECT_EQ(progress_text(later), "stage [##--------] 25%  50,000 rows  250 B  125 B/s  6.0 s left");
  EXPECT_EQ(progress_text(meter.add(progress(Phase::stage, 190'000, 950), start + 8s)),
            "stage [#########-] 95%  190,000 rows  950 B  118 B/s")
      << "nothing to speak of is left";
  // A file that grows is at its end at most.
  EXPECT_THAT(progress_text(meter.add(progress(Phase::stage, 200'000, 1200), start + 9s)),
              HasSubstr("[##########] 100%"));
  auto apply = progress(Phase::apply, 60'000, 1200);
  apply.note = "writing";
  apply.rejected = 2;
  EXPECT_EQ(progress_text(meter.add(apply, start + 10s)), "apply  60,000 rows  2 rejected  writing");
}

TEST(CliLoadProgress, OfAPipeNobodyKnowsTheEnd) {
  LoadMeter meter;
  meter.add({.phase = load::LoadProgress::Phase::stage}, SteadyTime{});
  const auto view = meter.add({.phase = load::LoadProgress::Phase::stage, .rows = 5, .read = {.bytes = 2048}},
                              SteadyTime{} + 1s);
  EXPECT_FALSE(view.share);
  EXPECT_EQ(progress_text(view), "stage  5 rows  2.0 KiB  2.0 KiB/s");
}

TEST(CliLoadRuns, RejectsAreShownWhateverTheyHold) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("a"), "YQ==");
  EXPECT_EQ(base64("ab"), "YWI=");
  EXPECT_EQ(base64("abc"), "YWJj");
  EXPECT_EQ(base64("\xff\xfe\x01z"), "//4Beg==");
  const load::RejectRow text{.line = 3, .column = "n", .reason = "no", .raw = "a,\"b\""};
  EXPECT_EQ(reject_csv(text), "3,,n,,no,\"a,\"\"b\"\"\",\n");
  EXPECT_EQ(reject_json(text).at("raw"), "a,\"b\"");
  EXPECT_FALSE(reject_json(text).contains("raw_base64"));
  EXPECT_EQ(reject_json({.raw = "\xff"}).at("raw_base64"), "/w==");
  EXPECT_TRUE(reject_json({.raw = "\xff"}).at("raw").is_null());
  EXPECT_EQ(reject_csv({.line = 1, .reason = "no", .raw = "\xff"}), "1,,,,no,,/w==\n");
  // JSON can write a zero byte, CSV cannot.
  EXPECT_EQ(reject_csv({.line = 1, .reason = "no", .raw = std::string("a\0", 2)}), "1,,,,no,,YQA=\n");
  EXPECT_EQ(reject_json({.raw = std::string("a\0", 2)}).at("raw"), std::string("a\0", 2));
}

load::RejectRow rejected(std::string raw) { return {.line = 7, .raw = std::move(raw)}; }

/// What becomes of these rejects: the lines, and the numbers.
std::pair<std::string, Replay> replayed(const std::vector<load::RejectRow>& rejects, const RawForm& form) {
  ReplayLines lines(form);
  std::string text;
  for (const load::RejectRow& reject : rejects) text += lines.line(reject).value_or("");
  return {text, lines.counted()};
}

TEST(CliLoadReplay, MakesRecordsOfWhateverTheSourceWas) {
  const RawForm form{.fields = {"id", "name"}, .csv = {}};
  const auto [records, replay] =
      replayed({rejected("{\"id\": 1,\n \"name\": null}"), rejected("2,\"a,\nb\""), rejected("3,")}, form);
  EXPECT_EQ(replay.count, 3);
  EXPECT_TRUE(replay.separated);
  EXPECT_EQ(replay.left_out, 0) << replay.why_left_out;
  EXPECT_EQ(records,
            "{\"id\": 1,  \"name\": null}\n"
            "{\"id\":\"2\",\"name\":\"a,\\nb\"}\n"
            "{\"id\":\"3\",\"name\":null}\n");
}

TEST(CliLoadReplay, RecordsKeepTheirFileAndLine) {
  const RawForm form{.fields = {"id", "name"}, .csv = {}};
  const std::vector<load::RejectRow> rejects{
      rejected("1,a"), rejected("1,2,3"), {.line = 12, .file = "b.csv", .raw = "2,b"}};
  std::size_t at = 0;
  const auto next = [&]() -> std::optional<load::RejectRow> {
    if (at == rejects.size()) return std::nullopt;
    return rejects[at++];
  };
  const auto reader = replay_reader(next, form, replayed(rejects, form).second, "replay", {});
  const auto place = [&] {
    const auto record = reader->next();
    return record ? std::string(record->file) + ":" + std::to_string(record->line) : "end";
  };
  EXPECT_EQ(place(), ":7");
  EXPECT_EQ(place(), "b.csv:12");
  EXPECT_EQ(place(), "end");
}

TEST(CliLoadReplay, RejectsAreAskedForAsTheyAreRead) {
  const RawForm form{.fields = {"id", "text"}, .csv = {}};
  std::int64_t asked = 0;
  const auto next = [&]() -> std::optional<load::RejectRow> {
    if (asked == 5'000) return std::nullopt;
    return load::RejectRow{.line = ++asked, .raw = "1," + std::string(10'000, 'x')};
  };
  const auto reader = replay_reader(next, form, {.count = 5'000, .separated = true}, "replay", {});
  for (std::int64_t n = 1; n <= 5'000; ++n) {
    const auto record = reader->next();
    ASSERT_TRUE(record && record->line == static_cast<std::uint64_t>(n)) << n;
    ASSERT_LE(asked, n + 200) << "as many as the reader has room for, not all of them";
  }
  EXPECT_FALSE(reader->next());
}

TEST(CliLoadReplay, CountsWhatCannotBeReplayed) {
  const RawForm form{.fields = {"id", "name"}, .csv = {}};
  const load::RejectRow duplicate{.line = 1, .sqlstate = "23505", .raw = "1,a"};
  const auto [records, replay] = replayed({duplicate, rejected(""), rejected("1,2,3"), rejected("1,\"open"),
                                           rejected("1,\xff"), rejected("1," + std::string(70'000, 'x'))},
                                          form);
  EXPECT_EQ(replay.count, 0);
  EXPECT_EQ(replay.left_out, 6);
  EXPECT_EQ(records, "");
  EXPECT_EQ(replay.why_left_out, "line 1: a later record has its key");
}

TEST(CliLoadReplay, BrokenJsonIsNoLineOfSeparatedValues) {
  const auto [records, replay] =
      replayed({rejected("{\"id\": 1"), rejected("[1]"), rejected("{\"id\": 2}")}, {.json = true});
  EXPECT_EQ(records, "{\"id\": 2}\n");
  EXPECT_EQ(replay.left_out, 2);
  EXPECT_EQ(replay.why_left_out, "line 7: it is no JSON object");
}

TEST(CliLoadReplay, AsksForNamesWhereNobodyKnowsThem) {
  EXPECT_THROW(replayed({rejected("1,a")}, {}), Error);
  EXPECT_EQ(replayed({rejected("{}")}, {}).second.count, 1);
}

}  // namespace
}  // namespace weir::cli
