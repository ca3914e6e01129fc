// What `weir load` makes of its words, and what it refuses before it touches anything.
#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "cli/commands.h"
#include "cli/load/options.h"
#include "cli/parse.h"

namespace weir::cli {
namespace {

using load::Format;
using load::Mode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Words = std::vector<std::string_view>;

LoadRequest read(Words words) {
  static const Registry registry = all_commands();
  words.insert(words.begin(), "load");
  return read_load_options(parse(registry, words).arguments);
}

LoadRequest read_into(Words words) {
  for (const std::string_view word : {"f.csv", "--into", "t"}) words.insert(words.begin(), word);
  std::reverse(words.begin(), words.begin() + 3);
  return read(words);
}

TEST(CliLoadOptions, WhatIsNotSaidIsTheSafeChoice) {
  const LoadRequest request = read({"rates.csv", "--into", "rates"});
  EXPECT_THAT(request.source.words, ElementsAre("rates.csv"));
  EXPECT_EQ(load::said_format(request.source), Format::csv);
  const load::LoadOptions& options = request.options;
  EXPECT_EQ(options.target, "rates");
  EXPECT_EQ(options.spec.mode, Mode::refresh);
  EXPECT_EQ(options.contract, load::Contract::evolve);
  EXPECT_FALSE(options.spec.guard.allow_empty);
  EXPECT_FALSE(options.spec.guard.allow_mass_delete);
  EXPECT_DOUBLE_EQ(options.spec.guard.max_delete_share, 0.2);
  EXPECT_FALSE(options.spec.rejects.allows_any());
  EXPECT_FALSE(options.dry_run);
  EXPECT_EQ(options.pipeline, "");
}

TEST(CliLoadOptions, EachOptionArrives) {
  const LoadRequest request = read({"a.csv",
                                    "b.csv",
                                    "--into",
                                    "app.rates",
                                    "--mode=upsert",
                                    "--key",
                                    "ts, pair",
                                    "--not-compared=loaded_at",
                                    "--schema",
                                    "quarantine",
                                    "--max-rejects",
                                    "0.5%",
                                    "--columns",
                                    "ts:timestamptz,amount:numeric(12,2), x : text",
                                    "--reject-duplicates",
                                    "--staged",
                                    "--dry-run",
                                    "--sample",
                                    "7",
                                    "--pipeline",
                                    "p",
                                    "--stream",
                                    "s",
                                    "--state",
                                    "{}",
                                    "--wait",
                                    "1m",
                                    "--lock-timeout",
                                    "50ms",
                                    "--timeout",
                                    "5s",
                                    "--work-mem",
                                    "64MB",
                                    "--delimiter",
                                    "tab",
                                    "--quote",
                                    "none",
                                    "--no-header",
                                    "--null",
                                    "NA",
                                    "--null",
                                    "-",
                                    "--encoding",
                                    "latin1",
                                    "--comment",
                                    "#",
                                    "--trim",
                                    "--max-record",
                                    "1"});
  const load::LoadOptions& options = request.options;
  EXPECT_EQ(options.spec.mode, Mode::upsert);
  EXPECT_THAT(options.spec.key, ElementsAre("ts", "pair"));
  EXPECT_THAT(options.spec.not_compared, ElementsAre("loaded_at"));
  EXPECT_EQ(options.contract, load::Contract::quarantine);
  EXPECT_DOUBLE_EQ(options.spec.rejects.share.value_or(0), 0.005);
  ASSERT_EQ(options.columns.size(), 3U);
  EXPECT_EQ(options.columns[1].name + "|" + options.columns[1].type, "amount|numeric(12,2)");
  EXPECT_EQ(options.columns[2].name + "|" + options.columns[2].type, "x|text");
  EXPECT_TRUE(options.spec.reject_duplicates);
  EXPECT_TRUE(options.staged);
  EXPECT_TRUE(options.dry_run);
  EXPECT_EQ(options.sample_rows, 7U);
  EXPECT_EQ(options.pipeline + options.stream + options.state.value_or(""), "ps{}");
  EXPECT_EQ(options.apply.target_wait, std::chrono::minutes(1));
  EXPECT_EQ(options.apply.lock_timeout, std::chrono::milliseconds(50));
  EXPECT_EQ(options.apply.statement_timeout, std::chrono::seconds(5));
  EXPECT_EQ(options.apply.work_mem, "64MB");
  const load::CsvChoice& csv = request.source.csv;
  EXPECT_EQ(csv.delimiter, '\t');
  EXPECT_EQ(csv.quote, '\0');
  EXPECT_EQ(csv.header, false);
  EXPECT_THAT(csv.nulls.value(), ElementsAre("NA", "-"));
  EXPECT_EQ(csv.encoding, "latin1");
  EXPECT_EQ(csv.comment, '#');
  EXPECT_TRUE(csv.trim);
  EXPECT_EQ(csv.max_record, std::size_t{1} << 20U);
}

TEST(CliLoadOptions, OptionsOfModes) {
  EXPECT_EQ(read_into({"--mode", "partition-swap", "--partition", "p1"}).options.spec.partition, "p1");
  EXPECT_FALSE(read_into({"--mode", "swap", "--views", "refuse"}).options.spec.recreate_views);
  const load::LoadSpec history =
      read_into({"--mode", "scd2", "--key", "id", "--at", "2026-01-01", "--history-columns", "a,b,c"})
          .options.spec;
  EXPECT_EQ(history.history.valid_from + history.history.valid_to + history.history.is_current, "abc");
  EXPECT_EQ(history.history_at, "2026-01-01");
  const load::LoadSpec mass = read_into({"--allow-mass-delete", "--allow-empty"}).options.spec;
  EXPECT_TRUE(mass.guard.allow_mass_delete);
  EXPECT_TRUE(mass.guard.allow_empty);
  EXPECT_DOUBLE_EQ(read_into({"--max-deletes", "5%"}).options.spec.guard.max_delete_share, 0.05);
  EXPECT_EQ(read_into({"--max-rejects", "12"}).options.spec.rejects.rows, 12);
}

TEST(CliLoadOptions, WindowsAreReadWithTheColonsOfTimes) {
  struct Case {
    std::string_view text;
    std::string_view from;
    std::string_view to;
  };
  for (const Case& c : {Case{"ts:2026-01-01:2026-02-01", "2026-01-01", "2026-02-01"},
                        {"ts:2026-01-01..2026-02-01", "2026-01-01", "2026-02-01"},
                        {"ts:2026-01-01 10:00:2026-01-01 11:00", "2026-01-01 10:00", "2026-01-01 11:00"},
                        {"ts:2026-01-01T10:00:00+00:00:2026-01-01T11:00:00+00:00",
                         "2026-01-01T10:00:00+00:00", "2026-01-01T11:00:00+00:00"},
                        {"ts:10:00..11:00", "10:00", "11:00"},
                        {"ts:9:10", "9", "10"},
                        {"ts: a .. b ", "a", "b"}}) {
    const Words words{"--mode", "window", "--window", c.text};
    const auto window = read_into(words).options.spec.window;
    ASSERT_TRUE(window) << c.text;
    EXPECT_EQ(window->column, "ts") << c.text;
    EXPECT_EQ(window->from, c.from) << c.text;
    EXPECT_EQ(window->to, c.to) << c.text;
  }
}

TEST(CliLoadOptions, SourcesTellTheirFormat) {
  struct Case {
    Words words;
    std::optional<Format> format;
  };
  for (const Case& c : {Case{{"x.tsv.gz"}, Format::tsv},
                        {{"X.JSONL.zst"}, Format::ndjson},
                        {{"x.json"}, Format::json},
                        {{"*.csv"}, Format::csv},
                        {{"app.db", "--table", "t"}, Format::sqlite},
                        {{"sqlite:app?table=t"}, Format::sqlite},
                        {{"postgresql://h/d", "--query", "SELECT 1"}, Format::postgres},
                        {{"-"}, std::nullopt},
                        {{"x.dat"}, std::nullopt},
                        {{"x.dat", "--format", "json"}, Format::json},
                        {{"--singer"}, Format::singer},
                        {{"--", "cat", "x.csv"}, std::nullopt}}) {
    Words words{"--into", "t"};
    words.insert(words.end(), c.words.begin(), c.words.end());
    EXPECT_EQ(load::said_format(read(words).source), c.format) << ::testing::PrintToString(c.words);
  }
}

TEST(CliLoadOptions, ATapSaysItsKeysItself) {
  const LoadRequest request =
      read({"--singer", "--into", "app.*", "--stream", "s", "--flatten", "2", "--apply-every", "5s",
            "--soft-delete", "--max-record", "2", "--pipeline", "p", "--max-rejects", "3"});
  EXPECT_EQ(request.source.words, std::vector<std::string>{"-"});
  EXPECT_EQ(request.tap.into, "app.*");
  EXPECT_EQ(request.tap.stream, "s");
  EXPECT_EQ(request.tap.flatten, 2U);
  EXPECT_EQ(request.tap.apply_every, std::chrono::seconds(5));
  EXPECT_EQ(request.tap.max_message_bytes, std::size_t{2} << 20U);
  EXPECT_TRUE(request.tap.soft_delete);
  EXPECT_EQ(request.options.pipeline, "p");
  EXPECT_EQ(request.options.spec.rejects.rows, 3);
  EXPECT_EQ(read({"--singer", "--into", "*"}).tap.apply_every, std::chrono::minutes(1));
}

struct Refusal {
  Words words;
  std::string message;
  std::string remedy;
};

void expect_refused(const Refusal& refusal, bool complete) {
  SCOPED_TRACE(::testing::PrintToString(refusal.words));
  try {
    complete ? read_into(refusal.words) : read(refusal.words);
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::usage);
    EXPECT_THAT(std::string(error.what()), HasSubstr(refusal.message));
    EXPECT_FALSE(error.remedy().empty());
    EXPECT_THAT(error.remedy(), HasSubstr(refusal.remedy));
  }
}

TEST(CliLoadOptions, SourcesThatCannotBeMeant) {
  for (const Refusal& refusal : {
           Refusal{{}, "what is to be loaded?", "weir load rates.csv --into rates"},
           {{"--into", "t"}, "what is to be loaded?", "- for standard input"},
           {{"f.csv"}, "--into is missing", "Add --into TABLE"},
           {{"histroy"}, "--into is missing: 'histroy'", "weir load history"},
           {{"f.csv", "--into", "a.b.c.d"}, "a.b.c.d", ""},
           {{"f.csv", "--into", "t", "--", "cat"}, "either sources or a command", ""},
           {{"f.csv", "-", "--into", "t"}, "standard input is loaded alone", ""},
           {{"app.db", "--into", "t"}, "which of its tables?", "--table NAME"},
           {{"app.db", "--into", "t", "--table", "x", "--query", "SELECT 1"},
            "either --query or a table",
            ""},
           {{"sqlite:a?table=x", "--into", "t", "--query", "SELECT 1"}, "either --query or a table", ""},
           {{"app.db", "b.db", "--into", "t", "--table", "x"}, "one database at a time", ""},
           {{"app.db", "--into", "t", "--table", "x", "--delimiter", ";"},
            "the source is sqlite",
            "--format csv"},
           {{"a.ndjson", "--into", "t", "--null", "x"}, "the source is ndjson", "--format csv"},
           {{"f.csv", "--into", "t", "--flatten", "1"}, "--flatten is about JSON", "--format ndjson"},
           {{"f.csv", "--into", "t", "--query", "SELECT 1"},
            "for a source that is a database",
            "sqlite:FILE"},
           {{"f.csv", "--into", "t", "--format", "cvs"}, "--format is 'cvs', which is none of: csv", "'csv'"},
           {{"--singer", "--format", "csv", "--into", "t"}, "--singer and --format csv contradict", ""},
           {{"--singer", "--into", "t", "--columns", "a:int8"}, "--columns has no meaning with --singer", ""},
           {{"--singer", "--into", ".*"}, "--into is '.*'", "SCHEMA.*"},
           {{"a", "b", "--singer", "--into", "t"}, "a tap is one source", ""},
           {{"f.csv", "--into", "t", "--apply-every", "5s"},
            "--apply-every is about Singer taps",
            "--singer"},
       })
    expect_refused(refusal, false);
}

TEST(CliLoadOptions, OptionsThatCannotBeMeant) {
  for (const Refusal& refusal : {
           Refusal{{"--mode", "upsret", "--key", "a"},
                   "--mode is 'upsret', which is none of: append",
                   "'upsert'"},
           {{"--mode", "merge"}, "there is no mode 'merge'", "called upsert"},
           {{"--mode", "truncate"}, "there is no mode 'truncate'", "called refresh"},
           {{"--mode", "upsert"}, "mode upsert needs --key", "Add --key"},
           {{"--mode", "scd2"}, "mode scd2 needs --key", "Add --key"},
           {{"--mode", "window"}, "mode window needs --window", "--window COLUMN:FROM..TO"},
           {{"--window", "ts:1:2"}, "--window has no meaning with mode refresh", "mode window"},
           {{"--mode", "window", "--window", "ts"}, "its bounds are missing", "COLUMN:FROM..TO"},
           {{"--mode", "window", "--window", "ts:1"}, "its end is missing", ""},
           {{"--mode", "window", "--window", ":1:2"}, "its column is missing", ""},
           {{"--mode", "window", "--window", "ts:..2"}, "a bound is missing", ""},
           {{"--mode", "window", "--window", "ts:10:00:11:00:30"}, "which colon divides", ".."},
           {{"--mode", "window", "--window", "ts:10..9"}, "nothing is from its first bound", ""},
           {{"--mode", "window", "--window", "ts:2026-02-01..2026-01-01"},
            "nothing is from its first bound",
            ""},
           {{"--mode", "window", "--window", "ts:x..x"}, "nothing is from its first bound", ""},
           {{"--mode", "partition-swap"}, "needs --partition", ""},
           {{"--partition", "p"}, "--partition has no meaning with mode refresh", ""},
           {{"--views", "refuse"}, "--views has no meaning", ""},
           {{"--mode", "swap", "--views", "drop"}, "--views is 'drop'", ""},
           {{"--at", "2026-01-01"}, "--at has no meaning", ""},
           {{"--mode", "append", "--allow-mass-delete"}, "no meaning with mode append", "window, refresh"},
           {{"--mode", "upsert", "--key", "a", "--max-deletes", "5%"}, "no meaning with mode upsert", ""},
           {{"--allow-mass-delete", "--max-deletes", "5%"}, "contradict each other", ""},
           {{"--max-deletes", "20"}, "not a share from 0% to 100%", "20%"},
           {{"--max-deletes", "101%"}, "not a share", ""},
           {{"--max-deletes=-1%"}, "not a share", ""},
           {{"--max-rejects", "many"}, "neither a number of records nor a share", "0.5%"},
           {{"--max-rejects=-1"}, "neither a number", ""},
           {{"--max-rejects", "x%"}, "not a share", ""},
           {{"--key", "a,,b"}, "where a name is missing", "--key COLUMN,COLUMN"},
           {{"--key", "a,b,a"}, "--key names a twice", ""},
           {{"--not-compared", "a"}, "--not-compared needs --key", ""},
           {{"--key", "a", "--not-compared", "a"}, "is in --key and in --not-compared", ""},
           {{"--reject-duplicates"}, "--reject-duplicates needs --key", ""},
           {{"--columns", "a"}, "'a' is not NAME:TYPE", "amount:numeric(12,2)"},
           {{"--columns", "a:int,a:text"}, "--columns names a twice", ""},
           {{"--schema", "evole"}, "--schema is 'evole'", "'evolve'"},
           {{"--state", "{}"}, "--state needs --pipeline", ""},
           {{"--pipeline", "p", "--state", "{"}, "--state is no JSON", ""},
           {{"--delimiter", "ab"}, "--delimiter is 'ab', which is not one character", "tab"},
           {{"--delimiter", "ü"}, "not one character", ""},
           {{"--header", "--no-header"}, "contradict each other", ""},
           {{"--sample", "0"}, "--sample is '0'", ""},
           {{"--wait", "5"}, "--wait is '5', which is not a time", ""},
       })
    expect_refused(refusal, true);
}

}  // namespace
}  // namespace weir::cli
