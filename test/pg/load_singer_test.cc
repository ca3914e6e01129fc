// A tap into its tables: rows, states, and what is left when a run breaks off.
#include <gtest/gtest.h>

#include "load_singer_fixture.h"

namespace weir::load {
namespace {

using test::has;
using LoadSingerTest = SingerTest;

TEST_F(LoadSingerTest, RowsAreAddedAndUpdatedByTheirKey) {
  tap(items_schema() + item(1, "a") + item(2, "b") + item(1, "c") + tap_state(R"({"at": 1})"), into("items"));
  EXPECT_EQ(take_told(), (Texts{"items: upsert +2 ~0 -0", R"(state {"at": 1})"}));
  EXPECT_EQ(all("id, name", "items"), "1 c, 2 b");
  EXPECT_EQ(
      value(
          "SELECT string_agg(format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE "
          "'' END, ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > "
          "0"),
      "bigint not null, text");
  tap(items_schema() + item(2, "B") + item(3, "d") + tap_state(R"({"at":2})"), into("items"));
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~1 -0", R"(state {"at":2})"}));
  EXPECT_EQ(all("id, name", "items"), "1 c, 2 B, 3 d");
  EXPECT_EQ(value("SELECT string_agg(pipeline || '/' || stream || '/' || source || '/' || state, ',' ORDER "
                  "BY id) FROM "
                  "weir.load_run"),
            "shop/items/tap items/applied,shop/items/tap items/applied");
}

TEST_F(LoadSingerTest, AStateIsToldWhenItsRowsAreThereAndItIsThereWithThem) {
  also_on_state_ = [&](const std::string& state) {
    told_.push_back(value("SELECT count(*) FROM items") + " rows, kept " + kept());
    EXPECT_EQ(kept(), state);
  };
  tap(items_schema() + item(1, "a") + tap_state(R"({"at":1})") + item(2, "b") + tap_state(R"({"at":2})") +
          item(3, "c"),
      at_states("items"));
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0", R"(1 rows, kept {"at":1})", R"(state {"at":1})",
                                "items: upsert +1 ~0 -0", R"(2 rows, kept {"at":2})", R"(state {"at":2})",
                                "items: upsert +1 ~0 -0"}));
  EXPECT_EQ(value("SELECT seq FROM weir.load_state"), "3");
}

TEST_F(LoadSingerTest, SeveralStatesAroundFlushesAndNoneThatIsEmpty) {
  tap(tap_state(R"({"begin":true})") + items_schema() + item(1, "a") + tap_state("{}") +
          tap_state(R"({"at":1})") + tap_state(R"({"at":2})") + item(2, "b") + tap_state("null") +
          item(3, "c") + tap_state(R"({"at":3})") + tap_state(R"({"at":4})"),
      into("items"));
  EXPECT_EQ(take_told(), (Texts{R"(state {"begin":true})", "items: upsert +3 ~0 -0", R"(state {"at":4})"}));
  EXPECT_EQ(kept(), R"({"at":4})");
  // With no rows behind it a state is kept at the end.
  tap(tap_state(R"({"at":5})") + tap_state(R"({"at":6})"), into("items"));
  EXPECT_EQ(take_told(), (Texts{R"(state {"at":5})", R"(state {"at":6})"}));
  EXPECT_EQ(kept(), R"({"at":6})");
}

TEST_F(LoadSingerTest, RecordsAreAppliedWhenThereAreMany) {
  SingerLoadOptions options = into("items");
  options.apply_bytes = 300;
  std::string lines = items_schema();
  for (int id = 1; id <= 9; ++id) lines += item(id, "name");
  tap(lines + tap_state(R"({"at":9})"), options);
  EXPECT_GT(told_.size(), 2U);
  EXPECT_EQ(told_.back(), R"(state {"at":9})");
  EXPECT_EQ(value("SELECT count(*) FROM items"), "9");
  EXPECT_EQ(value("SELECT count(*) FROM weir.load_run WHERE state <> 'applied'"), "0");
}

TEST_F(LoadSingerTest, ManyStreamsIntoASchemaEachWithItsTable) {
  run("CREATE SCHEMA app");
  const std::string orders =
      tap_schema("Odd \u017eorders", R"("no":{"type":"integer"},"sum":{"type":"number"})", R"("no")");
  const std::string order = tap_record("Odd \u017eorders", R"("no":7,"sum":12.50)");
  tap(items_schema() + item(1, "a") + orders + order + tap_state(R"({"at":1})"), into("app.*"));
  EXPECT_EQ(all("no, sum", "app.\"Odd \u017eorders\""), "7 12.50");
  EXPECT_EQ(all("id, name", "app.items"), "1 a");
  EXPECT_EQ(told_.back(), R"(state {"at":1})") << "once both are committed";
  EXPECT_EQ(std::count(told_.begin(), told_.end(), R"(state {"at":1})"), 1);

  const Error two = failure(items_schema() + orders, into("t"));
  EXPECT_EQ(two.exit_code(), ExitCode::usage);
  EXPECT_TRUE(has(two.what(), "streams items and Odd")) << two.what();
  EXPECT_TRUE(has(two.remedy(), "--stream NAME")) << two.remedy();
  SingerLoadOptions one = into("single");
  one.stream = "items";
  take_told();
  tap(items_schema() + item(1, "a") + orders + order + tap_state(R"({"at":2})"), one);
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0", R"(state {"at":2})"}));
  EXPECT_EQ(all("id, name", "single"), "1 a");
}

TEST_F(LoadSingerTest, WithoutAKeyRowsAreAppended) {
  const std::string schema = items_schema("", "");
  tap(schema + item(1, "a") + item(1, "a") + tap_state(R"({"at":1})"), into("items"));
  tap(schema + item(1, "a"), into("items"));
  EXPECT_EQ(all("id, name", "items"), "1 a, 1 a, 1 a");
  EXPECT_EQ(told_.back(), "items: append +1 ~0 -0");
}

TEST_F(LoadSingerTest, RecordsWithoutAKeyWaitForTheirState) {
  SingerLoadOptions options = into("items");
  options.apply_bytes = 150;  // a record or two
  tap(items_schema("", "") + item(1, "a") + item(2, "b") + item(3, "c") + tap_state(R"({"at":3})") +
          item(4, "d"),
      options);
  EXPECT_EQ(take_told(), (Texts{"items: append +3 ~0 -0", R"(state {"at":3})", "items: append +1 ~0 -0"}));
}

/// What a process that was killed does not do any more.
struct Killed {};

TEST_F(LoadSingerTest, KilledBetweenCommitAndEchoTheNextRunNeitherLosesNorDoubles) {
  const auto from = [](int first) {
    std::string lines = items_schema("", "");
    for (int id = first; id <= 6; ++id)
      lines += item(id, "x") + tap_state(fmt::format(R"({{"done":{}}})", id));
    return lines;
  };
  int left = 3;
  also_on_state_ = [&](const std::string&) {
    if (--left == 0) throw Killed();
  };
  EXPECT_THROW(tap(from(1), at_states("items")), Killed);
  EXPECT_EQ(take_told().back(), "items: append +1 ~0 -0");
  EXPECT_EQ(kept(), R"({"done":3})") << "it was committed, and not told";
  also_on_state_ = {};
  tap(from(4), at_states("items"));
  EXPECT_EQ(all("id", "items"), "1, 2, 3, 4, 5, 6");

  // A runner that only knows what was told sends some again: with a key they are found.
  left = 2;
  also_on_state_ = [&](const std::string&) {
    if (--left == 0) throw Killed();
  };
  std::string keyed = from(1);
  keyed.replace(keyed.find("[]"), 2, R"(["id"])");
  EXPECT_THROW(tap(keyed, at_states("keyed")), Killed);
  also_on_state_ = {};
  tap(keyed, at_states("keyed"));
  EXPECT_EQ(all("id", "keyed"), "1, 2, 3, 4, 5, 6");
}

TEST_F(LoadSingerTest, AStopBetweenFlushAndStateLeavesWhatWasToldAndNothingElse) {
  const std::vector<TapStep> steps{items_schema() + item(1, "a") + tap_state(R"({"at":1})") + item(2, "b"),
                                   [this] { stop_.request_stop(); }, tap_state(R"({"at":2})")};
  const Error stopped = test::error_of([&] { tap(steps, at_states("items")); });
  EXPECT_EQ(stopped.exit_code(), ExitCode::interrupted);
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0", R"(state {"at":1})"}));
  EXPECT_EQ(all("id", "items"), "1");
  EXPECT_EQ(kept(), R"({"at":1})");
  // Stopped when it was applied, and its state has not come yet.
  stop_ = {};
  SingerLoadOptions each = into("items");
  each.apply_bytes = 1;
  const std::vector<TapStep> later{items_schema() + item(2, "b"), [this] { stop_.request_stop(); },
                                   tap_state(R"({"at":2})")};
  EXPECT_EQ(test::error_of([&] { tap(later, each); }).exit_code(), ExitCode::interrupted);
  EXPECT_EQ(take_told(), (Texts{"items: upsert +1 ~0 -0"}));
  EXPECT_EQ(all("id", "items"), "1, 2");
  EXPECT_EQ(kept(), R"({"at":1})") << "the tap sends item 2 again";
  stop_ = {};
  tap(items_schema() + item(2, "b") + tap_state(R"({"at":2})"), into("items"));
  EXPECT_EQ(all("id", "items"), "1, 2");
}

TEST_F(LoadSingerTest, OfTwoRunsOfAPipelineTheLaterIsRefused) {
  const std::vector<TapStep> steps{
      items_schema("", "") + item(1, "a"),
      [this] { tap(items_schema("", "") + item(1, "a") + tap_state(R"({"of":"b"})"), into("items")); },
      tap_state(R"({"of":"a"})")};
  const Error refused = test::error_of([&] { tap(steps, into("items")); });
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(refused.what(), "has moved on")) << refused.what();
  EXPECT_EQ(all("id", "items"), "1");
  EXPECT_EQ(kept(), R"({"of":"b"})");
}

TEST_F(LoadSingerTest, MessagesOutOfOrderEndTheRunAndWhatWasCommittedStays) {
  const std::string good = items_schema() + item(1, "a") + tap_state(R"({"at":1})");
  for (const auto& [bad, reason] :
       {std::pair<std::string, std::string>{"{\"type\": RECORD}\n", "tap's output:4:"},
        {"INFO hello\n", "this is no Singer message"},
        {tap_record("others", R"("id":1)"), "came before the stream's SCHEMA"},
        {tap_activate("others", 1), "came before the stream's SCHEMA"},
        {"{\"type\":\"RECORD\",\"stream\":\"items\",\"record\":{\"id\":2", "this is no Singer message"}}) {
    const Error error = failure(good + bad, at_states("items"));
    EXPECT_EQ(error.exit_code(), ExitCode::failed) << bad;
    EXPECT_TRUE(has(error.what(), reason)) << error.what();
    EXPECT_EQ(all("id, name", "items"), "1 a");
    EXPECT_EQ(take_told().back(), R"(state {"at":1})");
  }
}

TEST_F(LoadSingerTest, ARecordWithoutItsKeyIsAReject) {
  const std::string lines = items_schema() + item(1, "a") + tap_record("items", R"("name":"lost")") +
                            tap_record("items", R"("id":null)") + tap_state(R"({"at":1})");
  const Error refused = failure(lines, into("items"));
  EXPECT_EQ(refused.exit_code(), ExitCode::refused);
  EXPECT_TRUE(has(refused.what(), "line 3: the key column 'id' is missing")) << refused.what();
  EXPECT_EQ(take_told(), Texts{});
  SingerLoadOptions some = into("items");
  some.each.spec.rejects.rows = 2;
  tap(lines, some);
  EXPECT_EQ(all("id, name", "items"), "1 a");
  EXPECT_EQ(value("SELECT string_agg(line || ' ' || reason, ', ' ORDER BY line) FROM weir.load_reject"),
            "3 the key column 'id' is missing, 4 the key column 'id' is null");
  EXPECT_EQ(value("SELECT convert_from(raw, 'UTF8') FROM weir.load_reject WHERE line = 3"),
            R"({"name":"lost"})");
}

TEST_F(LoadSingerTest, KeysThatTheSchemaHasNotAreToldOnce) {
  std::string lines = items_schema();
  for (int id = 1; id <= 3; ++id)
    lines +=
        tap_record("items", fmt::format(R"("id":{},"size":1,"colour":2)", id)) + tap_state(R"({"at":1})");
  tap(lines, at_states("items"));
  EXPECT_EQ(std::count_if(told_.begin(), told_.end(), [](const auto& t) { return t.starts_with("warning"); }),
            1);
  EXPECT_EQ(
      told_[0],
      "warning records of stream items have keys that its schema has not; they are left out: size, colour");
}

TEST_F(LoadSingerTest, WhatIsDueIsAppliedWhileTheTapIsSilent) {
  SingerLoadOptions often = into("*");
  often.apply_every = std::chrono::milliseconds(400);
  often.each.spec.guard.allow_mass_delete = true;
  const std::string log = tap_schema("log", R"("id":{"type":"integer"})", "");
  const auto entry = [](int id) { return tap_record("log", fmt::format(R"("id":{})", id)); };
  // All of it is before the state: rows without a key go last, with it.
  tap({items_schema() + log + entry(1) + item(1, "a") + tap_state(R"({"at":1})"), TapIsSilent(),
       [&] { told_.push_back("silent"); }},
      often);
  EXPECT_EQ(take_told(),
            (Texts{"items: upsert +1 ~0 -0", "log: append +1 ~0 -0", R"(state {"at":1})", "silent"}));
  // Behind the state what has a key may come again; what has none waits four times as long for the next one.
  tap({items_schema() + log + tap_state(R"({"at":1})") + entry(2) + item(2, "b"), TapIsSilent(),
       [&] { told_.push_back("silent"); }, TapIsSilent(), [&] { told_.push_back("and still"); },
       tap_state(R"({"at":2})")},
      often);
  EXPECT_EQ(take_told(), (Texts{R"(state {"at":1})", "items: upsert +1 ~0 -0", "silent",
                                "log: append +1 ~0 -0", "and still", R"(state {"at":2})"}));
  // A version that nobody has activated is not shown in part; nor is there anything to wait for.
  tap({items_schema() + tap_activate("items", 1) + item(1, "a", 1) + tap_state(R"({"at":3})"), TapIsSilent(),
       item(3, "c", 2) + tap_state(R"({"at":4})"), TapIsSilent(), [&] { told_.push_back("silent"); },
       tap_activate("items", 2)},
      often);
  EXPECT_EQ(all("id, name", "items"), "3 c");
  const Texts told = take_told();
  EXPECT_EQ(std::find(told.begin(), told.end(), "items: refresh +1 ~0 -2") -
                std::find(told.begin(), told.end(), "silent"),
            1);
}

// What is silent is one stream alone.
TEST_F(LoadSingerTest, AStreamThatIsSilentIsAppliedWhileAnotherOneIsNot) {
  SingerLoadOptions often = into("*");
  often.apply_every = std::chrono::milliseconds(1);
  std::string flood;
  for (int id = 0; id < 20'000; ++id) flood += tap_record("log", fmt::format(R"("id":{})", id));
  tap({items_schema() + tap_schema("log", R"("id":{"type":"integer"})", "") + item(1, "a") + flood,
       [&] { told_.push_back("no state yet"); }, tap_state(R"({"at":1})")},
      often);
  EXPECT_LT(std::find(told_.begin(), told_.end(), "items: upsert +1 ~0 -0"),
            std::find(told_.begin(), told_.end(), "no state yet"));
  EXPECT_EQ(told_.back(), R"(state {"at":1})");
}

TEST_F(LoadSingerTest, AFileOfABatchIsRecords) {
  const test::ScratchFolder folder("singer");
  const std::string path = (folder.path() / "batch one.jsonl.gz").string();
  ASSERT_EQ(std::system(
                ("printf '{\"id\":1,\"name\":\"a\"}\\n{\"id\":2,\"name\":\"b\"}\\n' | gzip > '" + path + "'")
                    .c_str()),
            0);
  const std::string batch = fmt::format(
      R"({{"type":"BATCH","stream":"items","encoding":{{"format":"jsonl","compression":"gzip"}},"manifest":["file://{}"]}})"
      "\n",
      std::string(path).replace(path.find(' '), 1, "%20"));
  tap(items_schema() + batch + item(3, "c") + tap_state(R"({"at":3})"), into("items"));
  EXPECT_EQ(all("id, name", "items"), "1 a, 2 b, 3 c");
  EXPECT_EQ(told_, (Texts{"items: upsert +3 ~0 -0", R"(state {"at":3})"}));
  std::filesystem::remove(path);
  EXPECT_NE(failure(items_schema() + batch, into("items")).exit_code(), ExitCode::ok);
}

}  // namespace
}  // namespace weir::load
