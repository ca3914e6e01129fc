#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "pipeline/demo/stage.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "schema/queries/work.h"

namespace weir::pipeline::demo {
namespace {

constexpr const char* kLooksPipeline = "looks";
constexpr int kLive = 100;
constexpr std::int64_t kSteps = 4;
constexpr int kLooks = 15;
constexpr std::int32_t kWanted = 10;
constexpr std::int64_t kLease = 3'600'000;
/// Far above those that the demo's own runs have.
constexpr std::int64_t kFirstOldRun = 1'000'000;

constexpr const char* kMakeTable = R"(
CREATE TABLE demo.task_history (
  dag_id    text        NOT NULL,
  run_id    text        NOT NULL,
  task_id   text        NOT NULL,
  state     text        NOT NULL,
  priority  int4        NOT NULL DEFAULT 1,
  queued_at timestamptz NOT NULL,
  ended_at  timestamptz,
  PRIMARY KEY (dag_id, run_id, task_id)
))";
constexpr const char* kFillLive = R"(
INSERT INTO demo.task_history (dag_id, run_id, task_id, state, queued_at)
SELECT 'rates', 'now', 'task_' || n, 'scheduled', clock_timestamp() FROM generate_series(1, $1::int4) n)";
constexpr const char* kFillOld = R"(
INSERT INTO demo.task_history (dag_id, run_id, task_id, state, queued_at, ended_at)
SELECT 'dag_' || n % 500, 'scheduled__' || n / 30, 'task_' || n, 'success', t.at, t.at
  FROM generate_series($1::int8, $2::int8 - 1) n
  CROSS JOIN LATERAL (SELECT clock_timestamp() - (n % 720) * interval '1 hour' AS at) t)";
constexpr const char* kLook = R"(
SELECT dag_id, run_id, task_id FROM demo.task_history WHERE state = 'scheduled'
 ORDER BY priority DESC, queued_at LIMIT 10)";

// A partition for each of the last 30 days, as weir.keep_run_history() would have made it in its time.
constexpr const char* kMakeDays = R"(
DO $$ BEGIN
  FOR d IN 2 .. 31 LOOP
    EXECUTE format('CREATE TABLE weir.run_done_past%s PARTITION OF weir.run_done FOR VALUES FROM (%L) TO (%L)', d,
                   date_trunc('day', now(), 'UTC') - d * interval '1 day', date_trunc('day', now(), 'UTC') - (d - 1) * interval '1 day');
    EXECUTE format('CREATE TABLE weir.task_done_past%s PARTITION OF weir.task_done FOR VALUES FROM (%L) TO (%L)', d,
                   date_trunc('day', now(), 'UTC') - d * interval '1 day', date_trunc('day', now(), 'UTC') - (d - 1) * interval '1 day');
  END LOOP;
END $$)";
constexpr const char* kFillRunsDone = R"(
INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, started_at, pipeline_id, version,
                           priority, tasks, state, kind, made_by, params)
SELECT $1::int8 + n, t.at, t.at, t.at, t.at, t.at, t.at, $4::int4, 1, 0, 30, 'success', 'scheduled', 'demo', '{}'
  FROM generate_series($2::int8 / 30, ($3::int8 - 1) / 30) n
  CROSS JOIN LATERAL (SELECT date_trunc('day', now(), 'UTC') - (1 + n % 30) * interval '1 day' - interval '1 s' * (n % 80000) AS at) t)";
constexpr const char* kFillTasksDone = R"(
INSERT INTO weir.task_done (run_id, run_ended_at, task_no, item, attempt, failures, ready_at, started_at, ended_at, state)
SELECT $1::int8 + n / 30, t.at, n % 30, -1, 1, 0, t.at, t.at, t.at, 'success'
  FROM generate_series($2::int8, $3::int8 - 1) n
  CROSS JOIN LATERAL (SELECT date_trunc('day', now(), 'UTC') - (1 + n / 30 % 30) * interval '1 day' - interval '1 s' * (n / 30 % 80000) AS at) t)";

Duration median(std::vector<Duration> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

Duration took(const std::function<void()>& work) {
  const SteadyTime began = std::chrono::steady_clock::now();
  work();
  return std::chrono::steady_clock::now() - began;
}

/// Pages that an EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) of it counted, within functions too.
template <class... T>
std::int64_t pages_of(pg::Session& session, const std::string& sql, const T&... arguments) {
  const pg::Result plan = session.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + sql, arguments...);
  const auto root = nlohmann::json::parse(plan[0].get<pg::JsonView>(0).text).at(0).at("Plan");
  return root.at("Shared Hit Blocks").get<std::int64_t>() + root.at("Shared Read Blocks").get<std::int64_t>();
}

class Looks {
 public:
  explicit Looks(Stage& stage) : session_(stage.connect()) {
    session_.execute(kMakeTable);
    session_.execute(kFillLive, kLive);
    session_.execute_script(kMakeDays);
    run_ = stage.start_runs(kLooksPipeline, 1);
    const auto process = session_.run<sql::RegisterProcess>("demo", kLease);
    process_ = process.one().id;
    const auto pipeline = session_.run<sql::FindPipeline>(kLooksPipeline);
    pipeline_ = pipeline.one().id;
  }
  ~Looks() = default;
  Looks(const Looks&) = delete;
  Looks& operator=(const Looks&) = delete;

  void fill_up_to(std::int64_t history) {
    if (history > filled_) {
      session_.execute(kFillOld, filled_, history);
      session_.execute(kFillRunsDone, kFirstOldRun, filled_, history, pipeline_);
      session_.execute(kFillTasksDone, kFirstOldRun, filled_, history);
    }
    session_.execute("VACUUM ANALYZE demo.task_history");
    session_.execute("VACUUM ANALYZE weir.task");
    session_.execute("ANALYZE weir.task_done");
    filled_ = history;
  }

  LookFigures classically() {
    LookFigures figures{.way = "a scan of task_instance", .history = filled_};
    figures.pages = pages_of(session_, kLook);
    std::vector<Duration> times;
    for (int i = 0; i < kLooks; ++i) times.push_back(took([&] { session_.execute(kLook); }));
    figures.took = median(std::move(times));
    return figures;
  }

  /// What is claimed is handed back each time.
  LookFigures by_weir() {
    LookFigures figures{.way = "Weir", .history = filled_};
    std::vector<Duration> times;
    for (int i = 0; i < kLooks; ++i) {
      times.push_back(took([&] {
        session_.run<sql::ClaimTasks>(process_, ++claims_, kWanted, 0, 0, std::vector<std::int64_t>());
      }));
      session_.run<sql::ReturnTaskClaim>(process_, claims_);
    }
    figures.took = median(std::move(times));
    figures.pages = pages_of(session_, "SELECT * FROM weir.claim_tasks($1::int8, $2::int8, $3::int4, 0, 0)",
                             process_, ++claims_, kWanted);
    session_.run<sql::ReturnTaskClaim>(process_, claims_);
    return figures;
  }

  /// So that nobody works on what was only looked at.
  void end() {
    session_.run<sql::CancelRun>(run_);
    session_.execute("DELETE FROM weir.process WHERE id = $1", process_);
  }

 private:
  pg::Session session_;
  std::int64_t filled_ = 0;
  std::int64_t run_ = 0;
  std::int64_t process_ = 0;
  std::int64_t claims_ = 0;
  std::int32_t pipeline_ = 0;
};

}  // namespace

PipelineDefinition looks_pipeline() {
  std::vector<TaskDefinition> tasks;
  for (int i = 0; i < kLive; ++i)
    tasks.push_back({.name = fmt::format("t{}", i), .body = SqlBody{.text = "SELECT 1"}});
  return independent_tasks(kLooksPipeline, std::move(tasks));
}

void show_looks(Stage& stage, SchedulerFigures& figures) {
  Looks looks(stage);
  for (std::int64_t step = 0; step <= kSteps; ++step) {
    const std::int64_t history = stage.options().history * step / kSteps;
    stage.options().on_step(fmt::format("a look for work, with {} tasks of history", human_count(history)));
    looks.fill_up_to(history);
    figures.looks.push_back(looks.classically());
    figures.looks.push_back(looks.by_weir());
    stage.options().on_frame(figures);
  }
  looks.end();
}

}  // namespace weir::pipeline::demo
