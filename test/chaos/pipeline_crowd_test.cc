// Thousands of tasks at a time, on several workers: nobody waits long for anybody's row, and all of them end.

#include <cstdlib>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pipeline/run/deploy.h"
#include "pipeline/run/worker.h"
#include "schema/queries/pipelines.h"
#include "support/pipeline_test.h"
#include "support/project_text.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 120s;

/// Of the full sizes, 6,000 pieces and 10,000 tasks, `./dev test` makes a quarter and `./dev chaos` all.
int sized(int full) { return std::getenv("WEIR_CROWD_FULL") != nullptr ? full : full / 4; }

/// The longest that a session waited for a lock, and how many waited for longer than 50 ms: what
/// log_lock_waits tells with that deadlock_timeout.
class LockWaits {
 public:
  explicit LockWaits(const pg::Connector& connector)
      : thread_([this, connector](const std::stop_token& stop) { look(connector, stop); }) {}
  /// Ends it. On a machine that is busy with other things whoever has a lock may be off the processor for
  /// seconds, which the figures tell; who queues for a hot row waits until all before him are through, and
  /// that is for ever.
  void expect_none_was_long() {
    thread_.request_stop();
    thread_.join();
    fmt::print("[ waits    ] the longest took {:.0f} ms, {} were longer than 50 ms {}\n", longest_ * 1000,
               waits_.size(), example_);
    EXPECT_LT(longest_, 20) << example_;
  }

 private:
  void look(const pg::Connector& connector, const std::stop_token& stop) {
    pg::Session session = connector.connect(pg::Role::api, "waits");
    while (!stop.stop_requested()) {
      const auto rows = session.execute(
          "SELECT l.pid, l.waitstart, extract(epoch FROM clock_timestamp() - l.waitstart)::float8, "
          "concat_ws(' ', "
          "l.locktype, l.mode, l.relation::regclass, left(a.query, 60), 'for', (SELECT "
          "string_agg(left(b.query, 60), "
          "' and ') FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(l.pid)))) FROM pg_locks l "
          "JOIN pg_stat_activity a ON a.pid = l.pid WHERE NOT "
          "l.granted "
          "AND a.datname = current_database() AND l.waitstart < clock_timestamp() - interval '50 ms'");
      for (const auto& row : rows) {
        waits_.emplace(row.get<std::int32_t>(0), row.get<WallTime>(1));
        if (row.get<double>(2) <= longest_) continue;
        longest_ = row.get<double>(2);
        example_ = row.get<std::string>(3);
      }
    }
  }

  std::set<std::pair<std::int32_t, WallTime>> waits_;
  double longest_ = 0;
  std::string example_;
  std::jthread thread_;
};

class PipelineCrowd : public test::PipelineTest {
 protected:
  void SetUp() override {
    PipelineTest::SetUp();
    sql_->execute("CREATE TABLE public.effect (run int8, word text)");
  }
  void TearDown() override {
    workers_.clear();
    PipelineTest::TearDown();
  }

  void start_workers(int workers, std::size_t slots) {
    for (int i = 0; i < workers; ++i) {
      Surroundings at{.connector = std::make_shared<const pg::Connector>(users_connector()), .project = "/"};
      workers_.push_back(
          std::make_unique<Worker>(std::move(at), WorkerOptions{.slots = slots, .drain = 10s}));
      workers_.back()->start();
    }
  }
  void stop_workers() {
    for (const auto& worker : workers_) worker->stop();
  }
  std::int64_t run(const std::string& pipeline) {
    const auto found = sql_->run<sql::FindPipeline>(pipeline);
    return start_run(found.one().id);
  }
  std::int64_t number(const std::string& sql) {
    return sql_->execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
  }
  void wait_for_the_end() {
    test::wait_until([&] { return number("SELECT count(*) FROM weir.run") == 0; }, "the run to end",
                     kPatience);
  }
  void expect_peace() {
    EXPECT_EQ(number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
    EXPECT_EQ(number("SELECT count(*) FROM weir.task"), 0);
  }

  std::vector<std::unique_ptr<Worker>> workers_;
};

TEST_F(PipelineCrowd, ThousandsOfPiecesFanOutAndInWithoutALongWait) {
  const int pieces = sized(6000);
  auto read = test::read_pipeline_text(
      "tasks:\n"
      "  spread:\n"
      "    map: {sql: 'select n from generate_series(1, " +
      std::to_string(pieces) +
      ") n'}\n"
      "    sql: insert into effect values (weir.run_id(), weir.item() ->> 'n')\n"
      "  gather:\n"
      "    after: spread\n"
      "    sql: insert into effect select weir.run_id(), 'of ' || count(*) from effect\n");
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
  deploy(*sql_, read.project);
  start_workers(4, 2);
  LockWaits waits(users_connector());
  run("p");
  wait_for_the_end();
  stop_workers();
  waits.expect_none_was_long();
  expect_peace();
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "success");
  EXPECT_EQ(number("SELECT count(DISTINCT word) FROM effect"), pieces + 1);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), pieces + 1);
  EXPECT_EQ(number(fmt::format("SELECT count(*) FROM effect WHERE word = 'of {}'", pieces)), 1);
}

TEST_F(PipelineCrowd, ACancelMeetsThousandsThatEndBeforeOneOnEightWorkers) {
  const int many = sized(10'000);
  PipelineDefinition definition{.name = "p"};
  TaskDefinition last{.name = "last",
                      .body = SqlBody{.text = "insert into effect values (weir.run_id(), 'last')"}};
  for (int i = 0; i < many; ++i) {
    definition.tasks.push_back(
        {.name = fmt::format("t{}", i), .body = SqlBody{.text = "select 1"}, .downstream = {many}});
    last.upstream.push_back(i);
  }
  definition.tasks.push_back(std::move(last));
  deploy(*sql_, {.name = "crowd", .pipelines = {definition}});
  start_workers(8, 2);
  LockWaits waits(users_connector());
  const std::int64_t id = run("p");
  test::wait_until([&] { return number("SELECT count(*) FROM weir.task_attempt") > many * 3 / 10; },
                   "a part of them", kPatience);
  waits.expect_none_was_long();
  // Who cancels holds all rows of the run for a moment, and others wait for that: it must not come to a
  // deadlock.
  EXPECT_EQ(text(fmt::format("SELECT weir.cancel_run({})", id)), "stopping");
  wait_for_the_end();
  stop_workers();
  expect_peace();
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "cancelled");
  EXPECT_EQ(number("SELECT count(*) FROM weir.task_done"), many + 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.task_done WHERE state NOT IN ('success', 'cancelled')"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.task_done WHERE state = 'success'"),
            number("SELECT count(*) FROM weir.task_attempt WHERE outcome = 'success'"));
  EXPECT_GT(number("SELECT count(*) FROM weir.task_done WHERE state = 'cancelled'"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), 0) << "the last one came after a cancelled one";
}

TEST_F(PipelineCrowd, FiveThousandTasksFromTheirTextToTheirEnd) {
  // Fifty layers of a hundred; each comes after one of the layer before, and after its first. Names in
  // several scripts.
  constexpr int kCrowd = 5000;
  const char* const scripts[] = {"aufgabe_ä", "задача", "任务", "مهمة", "task"};
  const auto name = [&](int i) { return fmt::format("{}_{}", scripts[i % 5], i); };
  std::string text = "tasks:\n";
  for (int i = 0; i < kCrowd; ++i) {
    text +=
        fmt::format("  {}:\n    sql: insert into effect values (weir.run_id(), '{}')\n", name(i), name(i));
    if (i < 100) continue;
    text += fmt::format("    after: [{}", name(i - 100));
    if (i % 100 != 0) text += ", " + name(i - i % 100 - 100);
    text += "]\n";
  }
  auto read = test::read_files({{"pipelines/größe/pipeline.yml", text}});
  ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics).substr(0, 500);
  deploy(*sql_, read.project);
  EXPECT_EQ(number("SELECT count(*) FROM weir.pipeline_task"), kCrowd + 1);
  start_workers(4, 2);
  LockWaits waits(users_connector());
  run("größe");
  wait_for_the_end();
  stop_workers();
  waits.expect_none_was_long();
  expect_peace();
  EXPECT_EQ(this->text("SELECT state || ' ' || tasks FROM weir.run_done"), "success 5000");
  EXPECT_EQ(number("SELECT count(DISTINCT word) FROM effect"), kCrowd);
  EXPECT_EQ(number("SELECT count(*) FROM effect"), kCrowd);
  EXPECT_EQ(number("SELECT count(*) FROM weir.task_done t JOIN weir.pipeline_task k USING (task_no) JOIN "
                   "effect e ON e.word = k.name"),
            kCrowd);
  EXPECT_EQ(number("SELECT max(attempt) FROM weir.task_done"), 1);
}

}  // namespace
}  // namespace weir::pipeline
