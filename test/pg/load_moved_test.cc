// The table that a load has looked at is replaced by others before it writes, or held by them.
#include <fmt/format.h>

#include "load_shape_fixture.h"

namespace weir::load {
namespace {

const std::string kReplace =
    "CREATE TABLE t2 (LIKE t INCLUDING ALL); INSERT INTO t2 VALUES (1, 1), (9, 9); DROP TABLE t; "
    "ALTER TABLE t2 RENAME TO t";

class LoadMovedTest : public LoadBesideTest {
 protected:
  /// Calls it once, when the load first says something while it writes.
  static Load::OnProgress once(std::function<void()> then, std::string note) {
    return [then = std::move(then), note = std::move(note), done = false](const LoadProgress& told) mutable {
      if (done || told.note.find(note) == std::string::npos) return;
      done = true;
      then();
    };
  }
};

struct Moved {
  const char* name;
  Mode mode;
  bool staged;
  const char* rows;
};

class LoadMovedModesTest : public LoadMovedTest, public ::testing::WithParamInterface<Moved> {};

TEST_P(LoadMovedModesTest, BehindASwapTheLoadGoesOnWithTheNewTable) {
  run("CREATE TABLE t (id int, v int, PRIMARY KEY (id)); INSERT INTO t VALUES (1, 1)");
  if (GetParam().mode == Mode::append) run("ALTER TABLE t DROP CONSTRAINT t_pkey");
  LoadOptions options = this->options(GetParam().mode);
  options.staged = GetParam().staged;
  options.spec.guard.allow_mass_delete = true;
  if (GetParam().mode == Mode::window) options.spec.window = {"id", "1", "5"};
  const std::jthread other = another_load("t", kReplace);
  const LoadReport report = load(csv("id,v\n1,10\n2,20\n"), options);
  EXPECT_TRUE(report.applied.has_value());
  EXPECT_EQ(rows("SELECT id, v FROM t ORDER BY 1, 2"), GetParam().rows);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_run WHERE state = 'applied'"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_chunk"), 0);
  EXPECT_EQ(stages(), 0) << "one of a table that is gone";
}

INSTANTIATE_TEST_SUITE_P(Modes, LoadMovedModesTest,
                         ::testing::Values(Moved{"refresh", Mode::refresh, true, "1|10,2|20"},
                                           Moved{"upsert", Mode::upsert, true, "1|10,2|20,9|9"},
                                           Moved{"window", Mode::window, true, "1|10,2|20,9|9"},
                                           Moved{"swap", Mode::swap, true, "1|10,2|20"},
                                           Moved{"append_staged", Mode::append, true, "1|1,1|10,2|20,9|9"},
                                           Moved{"append_direct", Mode::append, false, "1|1,1|10,2|20,9|9"}),
                         [](const auto& which) { return std::string(which.param.name); });

TEST_F(LoadMovedTest, AChangeOfTheTableGoesToTheNewOneToo) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  const std::jthread other = another_load("t", kReplace);
  EXPECT_EQ(load(csv("id,v,more\n1,2,3\n"), options(Mode::upsert)).applied->updated, 1);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|2|3,9|9|");
}

TEST_F(LoadMovedTest, ATableOfOtherColumnsIsRefused) {
  for (const bool staged : {true, false}) {
    run("DROP TABLE IF EXISTS t; CREATE TABLE t (id int, v numeric)");
    LoadOptions append = options(Mode::append);
    append.staged = staged;
    const std::jthread other =
        another_load("t", "DROP TABLE t; CREATE TABLE t (id int, v int); INSERT INTO t VALUES (9, 9)");
    const Error error = error_of([&] { load(csv("id,v\n1,1.5\n"), append); });
    EXPECT_EQ(error.exit_code(), ExitCode::refused) << error.what();
    EXPECT_TRUE(has(error.what(), "another table now")) << error.what();
    EXPECT_EQ(rows("SELECT * FROM t"), "9|9");
  }
}

TEST_F(LoadMovedTest, ATableThatIsRenamedBeforeItsSuccessorIsThereIsWaitedFor) {
  for (const bool staged : {true, false}) {
    run("DROP TABLE IF EXISTS t, old; CREATE TABLE t (id int, v int); CREATE TABLE t2 (id int, v int)");
    LoadOptions append = options(Mode::append);
    append.staged = staged;
    const std::jthread other = another_load("t", "ALTER TABLE t RENAME TO old");
    const LoadReport report = load(
        csv("id,v\n1,1\n2,2\n3,3\n"), append, {},
        once([&] { run("ALTER TABLE t2 RENAME TO t"); }, staged ? "another table now" : "does not exist"));
    EXPECT_EQ(report.direct, !staged);
    EXPECT_EQ(rows("SELECT id FROM t ORDER BY id"), "1,2,3");
    EXPECT_EQ(number("SELECT count(*) FROM old"), 0);
  }
}

TEST_F(LoadMovedTest, ATableThatIsNotThereAnyMoreIsWaitedForOnlySoOften) {
  run("CREATE TABLE t (id int, v int)");
  LoadOptions append = options(Mode::append);
  append.staged = true;
  append.apply.attempts = 3;
  auto reader =
      std::make_unique<InterruptedReader>(csv("id,v\n1,1\n2,2\n3,3\n"), 2, [&] { run("DROP TABLE t"); });
  const Error error = error_of([&] { load(std::move(reader), append); });
  EXPECT_TRUE(has(error.what(), "another table now")) << error.what();
}

TEST_F(LoadMovedTest, ATableIsDescribedWhileOthersReplaceIt) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int DEFAULT 7 CHECK (v > 0)); CREATE INDEX ON t (v);"
      "CREATE VIEW w AS SELECT id AS one FROM t");
  constexpr int kRounds = 100;
  std::atomic<int> round{0};
  std::atomic<int> replaced{0};
  const std::jthread other = test::in_background([&] {
    pg::Session session = this->session();
    for (int n = 0; n < kRounds; ++n) {
      round.wait(n);  // one for each description, at some moment of it
      session.execute_script(
          "BEGIN; CREATE TABLE t2 (LIKE t INCLUDING ALL); DROP VIEW w; DROP TABLE t; ALTER TABLE t2 RENAME "
          "TO t; "
          "CREATE VIEW w AS SELECT id AS one FROM t; COMMIT");
      ++replaced;
    }
  });
  pg::Session session = users_connector().connect(pg::Role::load, "test");
  for (int n = 0; n < kRounds; ++n) {
    ++round;
    round.notify_all();
    try {
      const auto target = describe_target(session, "t");
      EXPECT_TRUE(target && target->columns.size() == 2 && target->keys.size() == 1) << "round " << n;
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
    test::wait_until([&] { return replaced > n; }, "the table to be replaced");
  }
}

TEST_F(LoadMovedTest, ADirectAppendTriesAgainBehindALock) {
  run("CREATE TABLE t (id int, v int)");
  LoadOptions append = options(Mode::append);
  append.apply.lock_timeout = std::chrono::milliseconds(10);
  pg::Session holder = session();
  holder.execute("BEGIN");
  holder.execute("LOCK TABLE t IN SHARE MODE");
  const LoadReport report =
      load(csv("id,v\n1,1\n2,2\n3,3\n"), append, {}, once([&] { holder.execute("ROLLBACK"); }, "lock"));
  EXPECT_TRUE(report.direct);
  EXPECT_EQ(report.applied->inserted, 3);
  EXPECT_GT(report.applied->attempts, 1);
  EXPECT_EQ(number("SELECT count(*) FROM t"), 3);
}

TEST_F(LoadMovedTest, ADirectAppendThatGivesUpSaysWhoWasInTheWay) {
  run("CREATE TABLE t (id int, v int)");
  LoadOptions append = options(Mode::append);
  append.apply.lock_timeout = std::chrono::milliseconds(10);
  append.apply.attempts = 2;
  pg::Session holder = session();
  holder.execute("BEGIN");
  holder.execute("LOCK TABLE t IN SHARE MODE");
  const Error error = error_of([&] { load(csv("id,v\n1,1\n"), append); });
  EXPECT_EQ(error.exit_code(), ExitCode::failed);
  EXPECT_TRUE(has(error.what(), "t was not loaded")) << error.what();
  EXPECT_TRUE(has(error.what(), "(tried 2 times); there is pid")) << error.what();
}

TEST_F(LoadMovedTest, ADirectAppendThatMeetsALockInItsMiddleGoesThroughTheStage) {
  run("CREATE TABLE t (id int PRIMARY KEY, v int)");
  const std::string text = "id,v\n1,1\n2,2\n3,3\n";
  LoadOptions append = options(Mode::append);
  append.apply.lock_timeout = std::chrono::milliseconds(10);
  append.reopen = [&] { return csv(text); };
  pg::Session holder = session();
  holder.execute("BEGIN");
  holder.execute("INSERT INTO t VALUES (2, 0)");
  const LoadReport report =
      load(csv(text), append, {}, once([&] { holder.execute("ROLLBACK"); }, "through the stage"));
  EXPECT_FALSE(report.direct);
  EXPECT_EQ(report.applied->inserted, 3);
  // A source that cannot be read again: the message is that of the other modes.
  run("TRUNCATE t");
  holder.execute("BEGIN");
  holder.execute("INSERT INTO t VALUES (2, 0)");
  append.reopen = {};
  const Error error = error_of([&] { load(csv(text), append); });
  EXPECT_TRUE(has(error.what(), "t was not loaded")) << error.what();
  EXPECT_TRUE(has(error.what(), "there is pid")) << error.what();
}

}  // namespace
}  // namespace weir::load
