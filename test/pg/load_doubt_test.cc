#include <atomic>

#include "load_shape_fixture.h"
#include "support/actions.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::load {
namespace {

/// COMMIT of a load waits until the test lets it go on, and meanwhile its answer can be lost: the connection
/// is cut, and the server does not know.
class LoadCommitTest : public LoadShapeTest {
 protected:
  void SetUp() override {
    LoadShapeTest::SetUp();
    run("CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 1), (2, 2);"
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER gate AFTER UPDATE ON weir.load_run DEFERRABLE INITIALLY DEFERRED FOR EACH "
        "ROW "
        "WHEN (NEW.state = 'applied') EXECUTE FUNCTION gate()");
    gate_.emplace(test::TestServer::shared().port());
  }

  enum class Fate { kept, lost };

  /// Loads `text`, whose COMMIT is cut off once it is under way, and ends in that fate while the load looks
  /// for it.
  LoadReport load_in_doubt(const LoadOptions& options, const std::string& text, Fate fate,
                           const std::function<void()>& once_looking = {}, const std::stop_token& stop = {}) {
    std::atomic<bool> locked{false};
    std::atomic<bool> ended{false};
    const std::jthread breaker = test::in_background([&] {
      pg::Session lock = session();
      lock.execute("SELECT pg_advisory_lock(1)");
      locked = true;
      pg::Session look = session();
      const auto waiting = [&] {
        return look
            .execute(
                "SELECT count(*)::int4, coalesce(min(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND "
                "NOT "
                "granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")[0]
            .get<std::int32_t>(0);
      };
      test::wait_until([&] { return ended.load() || waiting() == 1; }, "COMMIT to wait");
      const auto pid =
          look.execute(
                  "SELECT coalesce(min(pid), 0) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")[0]
              .get<std::int32_t>(0);
      gate_->cut_all();
      // Whoever looks waits for the one that is at its COMMIT.
      test::wait_until([&] { return ended.load() || waiting() == 2; }, "somebody to look what became of it");
      if (once_looking) {
        once_looking();
        test::wait_until([&] { return ended.load(); }, "the load to give up");
      }
      if (fate == Fate::lost) test::terminate_backend(connector(), pid);
      lock.execute("SELECT pg_advisory_unlock(1)");
    });
    test::wait_until([&] { return locked.load(); }, "the gate to be shut");
    const auto through = std::make_shared<const pg::Connector>(
        gate_->through(tcp_conninfo()), pg::Connector::Options{.users_search_path = true});
    struct Ended {
      std::atomic<bool>& ended;
      ~Ended() { ended = true; }
    } const at_the_end{ended};
    // Its COMMIT waits for our gate, and that is a lock too.
    LoadOptions patient = options;
    patient.apply.lock_timeout = std::chrono::seconds(60);
    patient.apply.swap_lock_timeout = std::chrono::seconds(60);
    return Load(through, csv(text), patient).run(stop);
  }

  std::optional<test::TcpGate> gate_;
};

constexpr const char* kRows = "id,v\n1,1\n2,3\n4,4\n";

TEST_F(LoadCommitTest, AnApplyThatWasCarriedOutIsFound) {
  const LoadReport report = load_in_doubt(options(Mode::upsert), kRows, Fate::kept);
  EXPECT_TRUE(report.applied->was_in_doubt);
  EXPECT_EQ(report.applied->attempts, 1);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1,2|3,4|4");
}

TEST_F(LoadCommitTest, AnApplyThatWasNotCarriedOutIsRepeated) {
  const LoadReport report = load_in_doubt(options(Mode::upsert), kRows, Fate::lost);
  EXPECT_FALSE(report.applied->was_in_doubt);
  EXPECT_EQ(report.applied->attempts, 2);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1,2|3,4|4");
}

TEST_F(LoadCommitTest, ADirectAppendWaitsForItsOwnCommit) {
  run("CREATE TABLE log (id int, v int)");
  LoadOptions append = options(Mode::append);
  append.target = "log";
  const LoadReport report = load_in_doubt(append, kRows, Fate::kept);
  EXPECT_TRUE(report.direct);
  EXPECT_TRUE(report.applied->was_in_doubt);
  EXPECT_EQ(number("SELECT count(*) FROM log"), 3);
}

TEST_F(LoadCommitTest, ADirectAppendThatWasNotCarriedOutSaysSo) {
  run("CREATE TABLE log (id int, v int)");
  LoadOptions append = options(Mode::append);
  append.target = "log";
  const Error error = error_of([&] { load_in_doubt(append, kRows, Fate::lost); });
  EXPECT_EQ(error.exit_code(), ExitCode::failed);
  EXPECT_EQ(number("SELECT count(*) FROM log"), 0);
  EXPECT_EQ(rows("SELECT state FROM weir.load_run"), "failed");
}

TEST_F(LoadCommitTest, ASwapThatWasCarriedOutIsFound) {
  const LoadReport report = load_in_doubt(options(Mode::swap), kRows, Fate::kept);
  EXPECT_TRUE(report.applied->was_in_doubt);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|1,2|3,4|4");
  EXPECT_EQ(stages(), 0) << "the table has another number now: its stage would never be used again";
}

TEST_F(LoadCommitTest, ASwapThatWasNotCarriedOutIsRepeated) {
  const LoadReport report = load_in_doubt(options(Mode::swap), "id,v\n1,1\n1,5\n2,3\n4,4\n", Fate::lost);
  EXPECT_FALSE(report.applied->was_in_doubt);
  EXPECT_EQ(report.applied->duplicates, 1);
  EXPECT_EQ(rows("SELECT * FROM t ORDER BY id"), "1|5,2|3,4|4");
  EXPECT_EQ(stages(), 0);
}

TEST_F(LoadCommitTest, WhoMayNotLookIsNotToldThatNothingHappened) {
  std::stop_source stop;
  const Error error = error_of([&] {
    load_in_doubt(
        options(Mode::upsert), kRows, Fate::kept, [&] { stop.request_stop(); }, stop.get_token());
  });
  EXPECT_TRUE(has(error.what(), "may have been kept or not")) << error.what();
  EXPECT_TRUE(has(error.remedy(), "weir load show")) << error.remedy();
  test::wait_until([&] { return number("SELECT count(*) FROM weir.load_run WHERE state = 'applied'") == 1; },
                   "the server to carry it out");
}

}  // namespace
}  // namespace weir::load
