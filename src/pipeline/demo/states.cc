#include <algorithm>
#include <latch>

#include <fmt/format.h>

#include "base/arrival.h"
#include "pipeline/demo/stage.h"

namespace weir::pipeline::demo {
namespace {

// No named queries here and in the other acts: they are about tables of the demo, and the classical ones are
// what others write.

constexpr const char* kStatesPipeline = "states";
constexpr std::int64_t kTasksOfRun = 30;
constexpr std::size_t kSlots = 2;

// finished is counted in a row of the run, as a dag_run or a job of a classical scheduler knows when it is
// done.
constexpr const char* kMakeTables = R"(
CREATE TABLE demo.dag_run (id int4 PRIMARY KEY, size int4 NOT NULL, finished int4 NOT NULL DEFAULT 0);
CREATE TABLE demo.task_instance (
  id         int4 PRIMARY KEY,
  run_id     int4 NOT NULL,
  state      text NOT NULL DEFAULT 'scheduled',
  try_number int4 NOT NULL DEFAULT 0,
  scheduler  int4
);
-- What a start does. No key: a second one is seen.
CREATE TABLE demo.start (run_id int8 NOT NULL, task int4 NOT NULL);)";
constexpr const char* kFillRuns =
    "INSERT INTO demo.dag_run (id, size) SELECT r, $2::int4 FROM generate_series(1, $1::int4) r";
constexpr const char* kFillTasks =
    "INSERT INTO demo.task_instance (id, run_id) SELECT n, 1 + (n - 1) / $2::int4 FROM generate_series(1, "
    "$1::int4 * $2::int4) n";

// The classical loop. It reads what is to be done, decides, and writes each task by its key.
constexpr const char* kRead =
    "SELECT id, run_id, try_number FROM demo.task_instance WHERE state = 'scheduled' ORDER BY id LIMIT 16";
constexpr const char* kStatesBegin =
    "UPDATE demo.task_instance SET state = 'running', try_number = $2::int4, scheduler = $3::int4 WHERE id = "
    "$1::int4";
constexpr const char* kStart = "INSERT INTO demo.start (run_id, task) VALUES ($1::int4, $2::int4)";
constexpr const char* kStatesEnd = "UPDATE demo.task_instance SET state = 'success' WHERE id = $1::int4";
constexpr const char* kReadRun = "SELECT finished FROM demo.dag_run WHERE id = $1::int4";
constexpr const char* kWriteRun = "UPDATE demo.dag_run SET finished = $2::int4 WHERE id = $1::int4";

// done, starts beyond the first, ends that cannot be read any more, runs whose count is wrong
constexpr const char* kCountClassical = R"(
SELECT (SELECT count(*) FROM demo.task_instance WHERE state = 'success'),
       s.starts - s.tasks, s.starts - (SELECT sum(finished) FROM demo.dag_run),
       (SELECT count(*) FROM demo.dag_run WHERE finished <> size)
  FROM (SELECT count(*) AS starts, count(DISTINCT (run_id, task)) AS tasks FROM demo.start) s)";
constexpr const char* kCountWeir = R"(
SELECT t.done, greatest(s.starts - s.tasks, t.attempts - t.tasks), s.starts - t.done,
       $1::int8 - (SELECT count(*) FROM weir.run_done r WHERE r.state = 'success' AND r.tasks = $2::int8
                      AND r.tasks = (SELECT count(*) FROM demo.start d WHERE d.run_id = r.id))
  FROM (SELECT count(*) AS starts, count(DISTINCT (run_id, task)) AS tasks FROM demo.start) s,
       (SELECT count(*) FILTER (WHERE state = 'success') AS done, count(*) AS tasks, coalesce(sum(attempt), 0) AS attempts
          FROM weir.task_done) t)";

void read_counts(StateFigures& figures, const pg::Result& counted) {
  const pg::Row row = counted[0];
  figures.done = row.get<std::int64_t>(0);
  figures.double_starts = row.get<std::int64_t>(1);
  figures.lost_updates = row.get<std::int64_t>(2);
  figures.wrong_runs = row.get<std::int64_t>(3);
}

/// Until it finds nothing more to do. All have looked for the first time before any of them writes: that they
/// run beside each other is not left to the machine.
void loop_classically(const Stage& stage, int scheduler, std::latch& looked) {
  Arrival arrival(looked);
  pg::Session session = stage.connect();
  // The disk is nobody's excuse.
  session.set("synchronous_commit", "off");
  for (;;) {
    const pg::Result found = session.execute(kRead);
    arrival.wait_for_all();
    if (found.rows() == 0) return;
    for (const auto& task : found) {
      const auto id = task.get<std::int32_t>(0);
      const auto run = task.get<std::int32_t>(1);
      session.execute(kStatesBegin, id, task.get<std::int32_t>(2) + 1, scheduler);
      session.execute(kStart, run, id);
      session.execute(kStatesEnd, id);
      const auto finished = session.execute(kReadRun, run)[0].get<std::int32_t>(0);
      session.execute(kWriteRun, run, finished + 1);
    }
  }
}

/// The act's figures while they change.
class Count {
 public:
  Count(Stage& stage, SchedulerFigures& figures, std::string way, std::int64_t runs)
      : stage_(stage), all_(figures), session_(stage.connect()), began_(std::chrono::steady_clock::now()) {
    stage.options().on_step(fmt::format("{}: {} tasks", way, runs * kTasksOfRun));
    figures.states.push_back({.way = std::move(way), .tasks = runs * kTasksOfRun, .runs = runs});
  }
  template <class... T>
  void look(const char* sql, const T&... arguments) {
    StateFigures& figures = all_.states.back();
    if (!ended_) figures.span = std::chrono::steady_clock::now() - began_;
    read_counts(figures, session_.execute(sql, arguments...));
    stage_.options().on_frame(all_);
  }
  void end() {
    ended_ = true;
    all_.states.back().span = std::chrono::steady_clock::now() - began_;
  }

 private:
  Stage& stage_;
  SchedulerFigures& all_;
  pg::Session session_;
  SteadyTime began_;
  bool ended_ = false;
};

void show_classical(Stage& stage, SchedulerFigures& figures, std::int64_t runs) {
  {
    pg::Session session = stage.connect();
    session.execute_script(kMakeTables);
    session.execute(kFillRuns, static_cast<std::int32_t>(runs), static_cast<std::int32_t>(kTasksOfRun));
    session.execute(kFillTasks, static_cast<std::int32_t>(runs), static_cast<std::int32_t>(kTasksOfRun));
    session.execute("ANALYZE demo.task_instance");
  }
  Count count(stage, figures, "read, then write by key", runs);
  std::latch looked(stage.options().loops);
  run_crew(
      stage.options().loops, [&](int i) { loop_classically(stage, i, looked); },
      [&] { count.look(kCountClassical); });
  count.end();
  count.look(kCountClassical);
}

void show_weir(Stage& stage, SchedulerFigures& figures, std::int64_t runs) {
  pg::Session session = stage.connect();
  session.execute("TRUNCATE demo.start");
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < stage.options().loops; ++i) workers.push_back(stage.worker(kSlots));
  Count count(stage, figures, "Weir", runs);
  stage.start_runs(kStatesPipeline, runs);
  stage.wait_until([&] { return !session.execute("SELECT EXISTS (SELECT FROM weir.run)")[0].get<bool>(0); },
                   [&] { count.look(kCountWeir, runs, kTasksOfRun); });
  count.end();
  for (const auto& worker : workers) worker->stop();
  count.look(kCountWeir, runs, kTasksOfRun);
}

}  // namespace

PipelineDefinition states_pipeline() {
  std::vector<TaskDefinition> tasks;
  for (std::int64_t i = 0; i < kTasksOfRun; ++i) {
    tasks.push_back(
        {.name = fmt::format("t{}", i),
         .body = SqlBody{
             .text = fmt::format("INSERT INTO demo.start (run_id, task) VALUES (weir.run_id(), {})", i)}});
  }
  return independent_tasks(kStatesPipeline, std::move(tasks));
}

void show_states(Stage& stage, SchedulerFigures& figures) {
  const std::int64_t runs = (stage.options().tasks + kTasksOfRun - 1) / kTasksOfRun;
  show_classical(stage, figures, runs);
  show_weir(stage, figures, runs);
}

}  // namespace weir::pipeline::demo
