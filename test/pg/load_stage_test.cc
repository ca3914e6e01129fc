#include <fmt/format.h>

#include "load/write/run.h"
#include "load_shape_fixture.h"

namespace weir::load {
namespace {

/// What loads leave in stages, and who may have it.
class LoadStageTest : public LoadShapeTest {
 protected:
  void SetUp() override {
    LoadShapeTest::SetUp();
    run("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1)");
  }
  static std::unique_ptr<RecordReader> broken(const std::string& text, std::uint64_t at) {
    return std::make_unique<InterruptedReader>(csv(text), at,
                                               [] { throw Error(ExitCode::failed, "the source broke off"); });
  }
  /// A chunk for each pair of records, so that there is something to go on with.
  static LoadOptions small(Mode mode) {
    LoadOptions small = options(mode);
    small.chunk_bytes = 1;
    small.spec.rejects.rows = 10;
    return small;
  }
  std::int64_t left() {
    std::int64_t count = number(
        "SELECT (SELECT count(*) FROM weir.load_chunk) + (SELECT count(*) FROM "
        "weir.load_stage_reject)");
    pg::Session session = this->session();
    const auto tables = session.execute(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'weir_stage'::regnamespace AND "
        "relkind = 'r'");
    for (const auto table : tables) count += number("SELECT count(*) FROM " + table.get<std::string>(0));
    return count;
  }
  std::string many() {
    std::string text = "id,v\n1,none\n";
    for (int n = 2; n <= 30'000; ++n) text += fmt::format("{},{}\n", n, n);
    return text;
  }
};

TEST_F(LoadStageTest, WhatCannotBeGoneOnWithIsNotKept) {
  EXPECT_EQ(error_of([&] { load(broken(many(), 29'000), small(Mode::upsert)); }).exit_code(),
            ExitCode::failed);
  EXPECT_EQ(left(), 0) << "a pipe is read from its beginning: its rows would only take room";
}

TEST_F(LoadStageTest, TheNextLoadClearsWhatItDoesNotGoOnWith) {
  LoadOptions first = small(Mode::upsert);
  first.fingerprint = "a file";
  EXPECT_EQ(error_of([&] { load(broken(many(), 29'000), first); }).exit_code(), ExitCode::failed);
  EXPECT_GT(number("SELECT count(*) FROM weir.load_chunk"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_stage_reject"), 1);
  LoadOptions other = small(Mode::upsert);
  other.fingerprint = "another file";
  load(csv("id,v\n5,5\n"), other);
  EXPECT_EQ(left(), 0);
}

TEST_F(LoadStageTest, AStageOfATableThatIsGoneIsDroppedByTheNextLoadOfAny) {
  LoadOptions first = small(Mode::upsert);
  first.fingerprint = "a file";
  EXPECT_EQ(error_of([&] { load(broken(many(), 29'000), first); }).exit_code(), ExitCode::failed);
  run("DROP TABLE t; CREATE TABLE other (id int PRIMARY KEY, v int)");
  LoadOptions other = small(Mode::upsert);
  other.target = "other";
  load(csv("id,v\n5,5\n"), other);
  EXPECT_EQ(stages(), 1);
  EXPECT_EQ(left(), 0);
}

TEST_F(LoadStageTest, ALoadThatWasAppliedAndKilledBeforeItClearedIsClearedByTheNext) {
  LoadOptions first = small(Mode::upsert);
  first.fingerprint = "a file";
  EXPECT_EQ(error_of([&] { load(broken(many(), 29'000), first); }).exit_code(), ExitCode::failed);
  run("UPDATE weir.load_run SET state = 'applied'; CREATE TABLE other (id int PRIMARY KEY, v int)");
  LoadOptions other = small(Mode::upsert);
  other.target = "other";
  load(csv("id,v\n5,5\n"), other);
  EXPECT_EQ(left(), 0);
}

TEST_F(LoadStageTest, ASwapLeavesNoStageBehind) {
  load(csv("id,v\n1,1\n2,2\n"), options(Mode::swap));
  load(csv("id,v\n1,1\n2,3\n"), options(Mode::swap));
  EXPECT_EQ(stages(), 0) << "the number in its name is that of a table that is gone";
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1,2|3");
}

TEST_F(LoadStageTest, TheSameCommandTwiceDoesNotCallTheFirstBrokenOff) {
  LoadOptions first = small(Mode::upsert);
  first.fingerprint = "a file";
  std::string seen;
  const auto meanwhile = [&] {
    const Error second = error_of([&] { load(csv(many()), first); });
    EXPECT_EQ(second.exit_code(), ExitCode::refused);
    EXPECT_TRUE(has(second.what(), "is running in another process")) << second.what();
    seen = rows("SELECT state, error, ended_at FROM weir.load_run");
  };
  load(std::make_unique<InterruptedReader>(csv(many()), 29'000, meanwhile), first);
  EXPECT_EQ(seen, "staging||");
  EXPECT_EQ(number("SELECT count(*) FROM t"), 30'000);
}

TEST_F(LoadStageTest, ASlowSourceKeepsNoTransactionOpen) {
  std::string text = "id,v\n";
  const std::string filler(2'000, '0');  // of numbers that are small all the same
  for (int n = 2; n <= 400; ++n) text += fmt::format("{},{}{}\n", n, filler, n);
  run("CREATE TABLE slow (id int PRIMARY KEY, v text)");
  LoadOptions slow = options(Mode::upsert);
  slow.target = "slow";
  std::int64_t open_before = -1;
  std::int64_t open_behind = -1;
  const auto open = [&] {
    return number(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weir:load:%' AND datname = "
        "current_database() AND xact_start IS NOT NULL");
  };
  auto reader = std::make_unique<InterruptedReader>(csv(text), 50, [&] {
    open_before = open();
    run("SELECT pg_sleep(0.6)");  // that slow it is
  });
  load(std::make_unique<InterruptedReader>(std::move(reader), 200, [&] { open_behind = open(); }), slow);
  EXPECT_EQ(open_before, 0) << "nothing was written yet";
  EXPECT_EQ(open_behind, 0) << "the piece was committed when it was full";
  EXPECT_EQ(number("SELECT count(*) FROM slow"), 399);
}

TEST_F(LoadStageTest, ASourceThatIsLargerThanTheDiskIsWarnedOf) {
  /// A file that says it has more bytes than there are disks.
  class Huge final : public RecordReader {
   public:
    explicit Huge(std::unique_ptr<RecordReader> reader) : reader_(std::move(reader)) {}
    [[nodiscard]] const std::vector<std::string>& columns() const override { return reader_->columns(); }
    std::optional<Record> next() override { return reader_->next(); }
    [[nodiscard]] ReadProgress progress() const override { return {.bytes = 0, .total = 1ULL << 62U}; }

   private:
    std::unique_ptr<RecordReader> reader_;
  };
  LoadOptions plan = options(Mode::upsert);
  plan.dry_run = true;
  EXPECT_TRUE(load(csv("id,v\n1,1\n"), plan).plan.warnings.empty());
  const LoadReport report = load(std::make_unique<Huge>(csv("id,v\n1,1\n")), plan);
  ASSERT_EQ(report.plan.warnings.size(), 1U);
  EXPECT_TRUE(has(report.plan.warnings[0], "the source has 4")) << report.plan.warnings[0];
  EXPECT_TRUE(has(report.plan.warnings[0], "are free in /")) << report.plan.warnings[0];
  std::vector<std::string> notes;
  const LoadReport staged = load(std::make_unique<Huge>(csv("id,v\n1,1\n")), options(Mode::upsert), {},
                                 [&](const LoadProgress& progress) {
                                   if (!progress.note.empty()) notes.push_back(progress.note);
                                 });
  ASSERT_FALSE(notes.empty());
  EXPECT_TRUE(has(notes[0], "are free in /")) << "before anything is read into the stage";
  EXPECT_EQ(staged.plan.warnings.size(), 1U) << "said again when it has ended";
  const LoadReport straight = load(std::make_unique<Huge>(csv("id,v\n7,7\n")), options(Mode::append));
  EXPECT_TRUE(straight.direct);
  EXPECT_TRUE(straight.plan.warnings.empty()) << "it makes no stage";
}

TEST_F(LoadStageTest, AFullDiskIsSaidAndGivenBack) {
  run("CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not "
      "extend file: No "
      "space left on device' USING ERRCODE = '53100'; END $$;"
      "CREATE TRIGGER no_room BEFORE INSERT ON weir.load_chunk FOR EACH ROW WHEN (NEW.chunk = 1) EXECUTE "
      "FUNCTION no_room()");
  LoadOptions file = small(Mode::upsert);
  file.fingerprint = "a file";
  const Error staging = error_of([&] { load(csv(many()), file); });
  EXPECT_TRUE(has(staging.what(), "no room on the server's disk")) << staging.what();
  EXPECT_TRUE(has(staging.what(), "; the stage weir_stage.") && has(staging.what(), "B there"))
      << staging.what();
  EXPECT_TRUE(has(staging.remedy(), "t is as it was")) << staging.remedy();
  EXPECT_EQ(staging.sqlstate(), "53100");
  EXPECT_EQ(stages(), 0) << "others need the room";
  EXPECT_EQ(left(), 0);
  run("DROP TRIGGER no_room ON weir.load_chunk; CREATE TRIGGER no_room BEFORE INSERT ON t FOR EACH ROW WHEN "
      "(NEW.id = 20000) "
      "EXECUTE FUNCTION no_room()");
  const Error applying = error_of([&] { load(csv(many()), file); });
  EXPECT_TRUE(has(applying.what(), "no room on the server's disk")) << applying.what();
  EXPECT_EQ(stages(), 0);
  run("DROP TRIGGER no_room ON t; CREATE FUNCTION no_table() RETURNS event_trigger LANGUAGE plpgsql AS $$ "
      "BEGIN RAISE "
      "EXCEPTION 'no room' USING ERRCODE = '53100'; END $$;"
      "CREATE EVENT TRIGGER no_table ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION "
      "no_table()");
  const Error opening = error_of([&] { load(csv(many()), file); });
  EXPECT_TRUE(has(opening.what(), "no room on the server's disk")) << opening.what();
  run("DROP EVENT TRIGGER no_table");
  EXPECT_EQ(rows("SELECT * FROM t"), "1|1");
  EXPECT_EQ(load(csv(many()), file).resumed_from, 0U);
  EXPECT_EQ(number("SELECT count(*) FROM t"), 30'000);
}

}  // namespace
}  // namespace weir::load
