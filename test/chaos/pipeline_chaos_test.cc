// Four processes that schedule and eight that only work on pipelines, under random deaths, stops and restarts
// of the server. From what they left in the history: every logical time has its run and none has two, every
// task of every run is done, SQL exactly once, no two starts of a task at a time, no pool overfull at any
// instant, no deadlock.

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pipeline/run/deploy.h"
#include "schema/migrator.h"
#include "support/processes.h"
#include "support/project_text.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSchedulers = 4;
constexpr std::size_t kProcesses = kSchedulers + 8;
constexpr int kRuns = 30;

std::int64_t number_of(const char* name, std::int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : std::strtoll(value, nullptr, 10);
}

constexpr const char* kPipeline = R"yaml(
schedule: {every: 1s, missed: all}
max_active_runs: 8
defaults: {retry: {attempts: 1000, delay: 1ms, max_delay: 20ms}}
tasks:
  a: {sql: "insert into effect values (weir.run_id(), 'a')", pool: narrow}
  b: {after: a, sql: "insert into effect values (weir.run_id(), 'b')", pool: narrow, slots: 2}
  c: {after: a, run: [sh, -c, "exec sleep 0.01"], pool: narrow}
  m: {after: a, map: {sql: "select n from generate_series(1, 12) n", max_parallel: 4}, sql: "insert into effect values (weir.run_id(), 'm' || (weir.item() ->> 'n'))"}
  d: {after: [b, c, m], sql: "insert into effect values (weir.run_id(), 'd')"}
  e: {after: d, trigger_rule: one_failed, sql: "insert into effect values (weir.run_id(), 'never')"}
  f: {after: [d, e], trigger_rule: none_failed, sql: "insert into effect values (weir.run_id(), 'f')", pool: narrow}
)yaml";
/// Of a run: a, b, d, f and the 12 pieces of m; and rows of tasks: c, e and m besides.
constexpr int kEffects = 16;
constexpr int kTasks = 19;

/// Another one, in the same pool: whoever claims has to choose.
constexpr const char* kOther = R"yaml(
schedule: {every: 1s, missed: all}
max_active_runs: 3
defaults: {retry: {attempts: 1000, delay: 1ms, max_delay: 20ms}, pool: narrow}
tasks:
  x: {sql: "insert into effect values (weir.run_id(), 'x')", priority: 5}
  y: {after: x, sql: "insert into effect values (weir.run_id(), 'y')", slots: 3}
)yaml";
constexpr int kOtherTasks = 2;

/// Loads and a model, which end in transactions of their own sessions.
constexpr const char* kLoads = R"yaml(
schedule: {every: 2s, missed: all}
max_active_runs: 2
defaults: {retry: {attempts: 1000, delay: 1ms, max_delay: 20ms}}
tasks:
  l: {load: {command: [printf, "run,word\\n${run_id},l\\n"], into: public.effect, mode: append}}
  s: {load: {command: [printf, "run,word\\n${run_id},s\\n"], into: public.effect, mode: append, staged: true}}
)yaml";
constexpr const char* kModel = R"sql(/* weir
materialized: incremental
strategy: append
relation: public.effect
after: [l, s]
checks: [{sql: "select count(*) = 3 from this() where run = weir.run_id()"}]
*/
select weir.run_id() as run, 'model'::text as word)sql";
constexpr int kLoadTasks = 3;

// Attempts with the pool and the slots of their task.
constexpr const char* kHeld = R"(
SELECT a.started_at, a.ended_at, k.slots FROM weir.task_attempt a
  JOIN weir.run_done r ON r.id = a.run_id
  JOIN weir.pipeline_task k ON k.pipeline_id = r.pipeline_id AND k.version = r.version AND k.task_no = a.task_no
  JOIN weir.pool p ON p.id = k.pool_id
 WHERE p.name = 'narrow')";

class PipelineChaosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* pipeline : {"p", "q", "r"})
      std::filesystem::create_directories(folder_.path() / "pipelines" / pipeline);
    // Loads have sessions of their own, and those of a process that was just killed are not gone at once.
    server_.configure({{"max_connections", "300"}, {"deadlock_timeout", "50ms"}});
    server_.restart();
    pg::Session session = this->session();
    schema::migrate(session);
    session.execute("CREATE TABLE public.effect (run int8, word text)");
    auto read = test::read_files({{"weir.yml", "pools: {narrow: 3}\n"},
                                  {"pipelines/p/pipeline.yml", kPipeline},
                                  {"pipelines/q/pipeline.yml", kOther},
                                  {"pipelines/r/pipeline.yml", kLoads},
                                  {"pipelines/r/models/model.sql", kModel}});
    ASSERT_TRUE(read.diagnostics.ok()) << to_text(read.diagnostics);
    deploy(session, read.project);
  }
  void TearDown() override {
    for (const pid_t worker : workers_) {
      if (worker == 0) continue;
      ::kill(worker, SIGKILL);
      ::kill(worker, SIGCONT);
      test::status_of(worker);
    }
    if (!HasFailure()) return;
    for (std::size_t i = 0; i < kProcesses; ++i) {
      std::ifstream log(log_of(i));
      for (std::string line; std::getline(log, line);) fmt::print("worker {}: {}\n", i, line);
    }
  }

  [[nodiscard]] std::string log_of(std::size_t index) const {
    return (folder_.path() / fmt::format("worker-{}", index)).string();
  }
  [[nodiscard]] pg::Session session() const {
    return pg::Connector(server_.conninfo(), {.users_search_path = true}).connect(pg::Role::api, "test");
  }
  /// The server may be away for a moment.
  std::int64_t number(const std::string& sql) const {
    for (int failures = 0;; ++failures) {
      try {
        pg::Session session = this->session();
        return session.execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
      } catch (const pg::ConnectionLost&) {
        if (failures == 5) throw;
      }
    }
  }

  void start(std::size_t index) {
    const test::SigtermWaits from_its_first_moment;
    const pid_t pid = ::fork();
    if (pid != 0) {
      workers_[index] = pid;
      return;
    }
    ::setenv("WEIR_CHAOS_URL", server_.conninfo().url().c_str(), 1);
    ::setenv("WEIR_CHAOS_PROJECT", folder_.path().c_str(), 1);
    ::setenv("WEIR_CHAOS_ROLE", index < kSchedulers ? "schedules" : "works", 1);
    const int out = ::open(log_of(index).c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execl("/proc/self/exe", "weir_chaos_tests", "--gtest_filter=ChaosPipelineWorker.DISABLED_Run",
            "--gtest_also_run_disabled_tests", nullptr);
    ::_exit(127);
  }

  void let_work(std::int64_t effects) const {
    const std::string count = "SELECT count(*) FROM effect";
    const std::int64_t before = number(count);
    const Deadline limit = Deadline::after(2s);
    test::wait_until([&] { return number(count) >= before + effects || limit.expired(); }, "work");
  }
  void kill_one(std::size_t index) {
    ::kill(workers_[index], SIGKILL);
    EXPECT_EQ(test::status_of(workers_[index]), 128 + SIGKILL) << "it ended by itself";
    start(index);
  }
  /// Frozen until the others have declared it dead, and a little longer.
  void freeze_one(std::size_t index) {
    const std::string alive =
        fmt::format("SELECT count(*) FROM weir.process WHERE NOT dead AND name LIKE '%:{}'", workers_[index]);
    if (number(alive) == 0) return;
    ::kill(workers_[index], SIGSTOP);
    test::wait_until([&] { return number(alive) == 0; }, "a verdict");
    let_work(5);
    ::kill(workers_[index], SIGCONT);
  }

  test::TestServer server_;
  test::ScratchFolder folder_{"pipeline-chaos"};
  std::array<pid_t, kProcesses> workers_{};
};

TEST_F(PipelineChaosTest, EveryTaskIsDoneAndSqlExactlyOnce) {
  const std::chrono::seconds lasts(number_of("WEIR_CHAOS_SECONDS", 10));
  const Deadline end = Deadline::after(lasts);
  const auto seed = static_cast<std::uint64_t>(number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };

  for (std::size_t i = 0; i < kProcesses; ++i) start(i);
  for (int i = 0; i < kRuns; ++i)
    number(
        "weir.create_run((SELECT id FROM weir.pipeline WHERE name = 'p'), 'manual', clock_timestamp(), "
        "clock_timestamp(), clock_timestamp(), '{}')");
  std::atomic<std::int64_t> most{0};
  std::jthread sampler([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      try {
        most = std::max(
            most.load(),
            number("SELECT coalesce(sum(t.slots), 0) FROM weir.task t JOIN weir.pool p ON p.id = t.pool_id "
                   "WHERE p.name = 'narrow' AND t.state = 'running'"));
      } catch (const std::exception&) {
        continue;  // the server is away
      }
    }
  });
  std::array<int, 3> faults{};
  while (!end.expired()) {
    let_work(20);
    const std::size_t index = below(kProcesses);
    const std::size_t what = below(20);
    if (what < 14) {
      ++faults[0];
      kill_one(index);
    } else if (what < 18) {
      ++faults[1];
      freeze_one(index);
    } else {
      ++faults[2];
      server_.restart();
    }
  }
  {
    pg::Session session = this->session();
    session.execute("UPDATE weir.pipeline SET next_at = NULL");
  }
  try {
    test::wait_until([&] { return number("SELECT count(*) FROM weir.run") == 0; }, "all runs to end",
                     60s + lasts / 2);
  } catch (const std::exception& error) {
    pg::Session session = this->session();
    const auto left = session.execute(
        "SELECT string_agg(t, E'\n') FROM (SELECT format('%s/%s/%s %s told %s remaining %s worker %s ready "
        "%s', run_id, task_no, "
        "item, state, told, remaining, worker_id, ready_at) AS t FROM weir.task ORDER BY run_id, task_no, "
        "item LIMIT 60) l");
    ADD_FAILURE() << error.what() << "\n" << left[0].get<std::optional<std::string>>(0).value_or("no tasks");
  }
  sampler.request_stop();
  sampler.join();
  // One that is not there yet would not be stopped by that, but killed.
  test::wait_until(
      [&] {
        return std::all_of(workers_.begin(), workers_.end(), [&](pid_t worker) {
          return number(fmt::format("SELECT count(*) FROM weir.process WHERE name LIKE '%:{}'", worker)) > 0;
        });
      },
      "every process");
  for (const pid_t worker : workers_) ::kill(worker, SIGTERM);
  for (pid_t& worker : workers_) EXPECT_EQ(test::status_of(std::exchange(worker, 0)), 0);

  const auto runs_of = [&](const std::string& name) {
    return number(
        "SELECT count(*) FROM weir.run_done r JOIN weir.pipeline p ON p.id = r.pipeline_id WHERE p.name = '" +
        name + "'");
  };
  const std::int64_t runs = runs_of("p");
  const std::int64_t others = runs_of("q");
  const std::int64_t loads = runs_of("r");
  EXPECT_GE(runs, kRuns);
  EXPECT_GT(others, 0);
  EXPECT_GT(loads, 0);
  // The fourth process that dies over a task, or is too slow to keep its lease, makes it fail: that is
  // promised, too.
  {
    pg::Session session = this->session();
    const auto unjust = session.execute(
        "SELECT format('run %s task %s/%s, attempt %s: %s', t.run_id, t.task_no, t.item, t.attempt, t.error) "
        "  FROM weir.task_done t WHERE t.state = 'failed' AND t.error NOT LIKE '% pieces failed' "
        "   AND (SELECT count(*) FROM weir.task_attempt a WHERE a.run_id = t.run_id AND a.task_no = "
        "t.task_no "
        "           AND a.item = t.item AND a.outcome = 'lost') < 4");
    for (const auto& row : unjust) ADD_FAILURE() << row.get<std::string>(0);
  }
  const std::int64_t failed = number("SELECT count(*) FROM weir.run_done WHERE state <> 'success'");
  EXPECT_LE(failed, 1 + runs / 100);
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM weir.run_done r WHERE r.state = 'success' AND (SELECT count(*) FROM effect e "
          "WHERE e.run = r.id) <> (SELECT CASE p.name WHEN 'p' THEN " +
          fmt::format("{} WHEN 'q' THEN {} ELSE {} END FROM weir.pipeline p WHERE p.id = r.pipeline_id)",
                      kEffects, kOtherTasks, kLoadTasks)),
      0)
      << "runs without all of their effects";
  EXPECT_EQ(number("SELECT count(*) FROM weir.task_done"),
            runs * kTasks + others * kOtherTasks + loads * kLoadTasks)
      << "lost tasks";
  EXPECT_EQ(number("SELECT count(*) FROM (SELECT FROM effect GROUP BY run, word HAVING count(*) > 1) d"), 0)
      << "done twice";
  EXPECT_EQ(number("SELECT count(*) FROM (SELECT FROM weir.run_done GROUP BY pipeline_id, logical_at, kind "
                   "HAVING count(*) > 1) d"),
            0)
      << "two runs for a logical time";
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM (SELECT logical_at - lag(logical_at) OVER (PARTITION BY pipeline_id ORDER BY "
          "logical_at) AS step, pipeline_id FROM weir.run_done WHERE kind = 'scheduled') s WHERE step <> "
          "interval '1 s' * (SELECT CASE p.name WHEN 'r' THEN 2 ELSE 1 END FROM weir.pipeline p WHERE p.id = "
          "s.pipeline_id)"),
      0)
      << "a logical time without a run";
  EXPECT_EQ(number("SELECT count(*) FROM (SELECT FROM weir.task_attempt WHERE outcome = 'success' GROUP BY "
                   "run_id, task_no, item HAVING count(*) > 1) d"),
            0)
      << "two results were accepted";
  EXPECT_EQ(
      number(
          "SELECT count(*) FROM (SELECT started_at < lag(ended_at) OVER (PARTITION BY run_id, task_no, item "
          "ORDER BY started_at) AS early FROM weir.task_attempt) a WHERE early"),
      0)
      << "a task was started while it ran";
  const std::int64_t held = number(fmt::format(
      "SELECT max(used) FROM (SELECT sum(slots) OVER (ORDER BY at, slots ROWS UNBOUNDED PRECEDING) AS used "
      "FROM (SELECT started_at AS at, slots FROM ({0}) h UNION ALL SELECT ended_at, -slots FROM ({0}) h) e) "
      "u",
      kHeld));
  EXPECT_LE(held, 3) << "slots of the pool, by the history";
  EXPECT_EQ(number("SELECT count(*) FROM weir.task"), 0);
  EXPECT_LE(most, 3) << "slots of the pool, as they were seen";
  EXPECT_EQ(number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
  for (std::size_t i = 0; i < kProcesses; ++i) {
    std::ifstream log(log_of(i));
    for (std::string line; std::getline(log, line);)
      EXPECT_EQ(line.find("service ended"), std::string::npos) << "process " << i << ": " << line;
  }
  fmt::print(
      "chaos: pipelines, seed {}, {} schedulers, {} workers, {} kills, {} freezes, {} restarts; {} runs, {} "
      "tasks, {} "
      "attempts, {} failed after four deaths, at most {} slots of 3\n",
      seed, kSchedulers, kProcesses - kSchedulers, faults[0], faults[1], faults[2], runs + others + loads,
      number("SELECT count(*) FROM weir.task_done"), number("SELECT count(*) FROM weir.task_attempt"), failed,
      std::max(most.load(), held));
}

}  // namespace
}  // namespace weir::pipeline
