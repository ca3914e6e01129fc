#include "support/pipeline_test.h"

#include "pipeline/run/store.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "schema/queries/work.h"

namespace weir::test {

using namespace pipeline;

void PipelineTest::SetUp() {
  SchemaTest::SetUp();
  sql_.emplace(session());
}

void PipelineTest::TearDown() {
  sql_.reset();
  SchemaTest::TearDown();
}

PipelineDefinition PipelineTest::define(const std::string& name, const std::vector<Task>& tasks) {
  PipelineDefinition definition;
  definition.name = name;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    TaskDefinition task;
    task.name = "t" + std::to_string(i);
    task.body = SqlBody{.text = "SELECT 1"};
    task.upstream = tasks[i].after;
    task.rule = tasks[i].rule;
    task.pool = tasks[i].pool;
    task.slots = tasks[i].slots;
    task.priority = tasks[i].priority;
    task.allow_failure = tasks[i].allow_failure;
    definition.tasks.push_back(std::move(task));
    for (const int before : tasks[i].after)
      definition.tasks[static_cast<std::size_t>(before)].downstream.push_back(static_cast<int>(i));
  }
  return definition;
}

std::int32_t PipelineTest::store(const PipelineDefinition& definition) {
  const auto made = sql_->run<sql::MakePipeline>(definition.name, "test");
  const auto row = made.one();
  for (const TaskDefinition& task : definition.tasks) {
    sql_->execute("INSERT INTO weir.pool (name) VALUES ($1) ON CONFLICT DO NOTHING", task.pool);
  }
  store_definition(*sql_, row.id, row.version,
                   {.json = "{}",
                    .hash = std::to_string(++runs_),
                    .plan = plan_run(definition),
                    .max_active_runs = definition.max_active_runs});
  return row.id;
}

std::int64_t PipelineTest::start_run(std::int32_t pipeline) {
  const auto id = sql_->execute(
      "SELECT weir.create_run($1, 'manual', clock_timestamp(), clock_timestamp(), clock_timestamp(), '{}')",
      pipeline);
  sql_->run<sql::StartRuns>(pipeline);
  return id[0].get<std::int64_t>(0);
}

std::int64_t PipelineTest::process() {
  const auto answer = sql_->run<sql::RegisterProcess>("test", std::int64_t{3'600'000});
  return answer.one().id;
}

std::vector<TaskAttempt> PipelineTest::claim(pg::Session& session, std::int64_t worker, std::int64_t number,
                                             int wanted) {
  std::vector<TaskAttempt> claimed;
  for (const auto& row :
       session.run<sql::ClaimTasks>(worker, number, wanted, 0, 0, std::vector<std::int64_t>())) {
    if (!row.run_id) continue;
    claimed.push_back({.key = {*row.run_id, *row.task_no, *row.item},
                       .worker = worker,
                       .claim = number,
                       .attempt = *row.attempt,
                       .failures = *row.failures,
                       .pipeline = *row.pipeline_id,
                       .version = *row.version});
  }
  return claimed;
}

std::vector<TaskNews> PipelineTest::finish(pg::Session& session, const TaskAttempt& attempt,
                                           std::string_view state, const std::string& error) {
  return finish_tasks(session, attempt.worker, {{&attempt, {state}, error}});
}

void PipelineTest::end(pg::Session& session, const TaskAttempt& attempt, std::string_view state) {
  Aftermath aftermath;
  aftermath.add(finish(session, attempt, state));
  aftermath.carry_out(session);
}

std::string PipelineTest::states(std::int64_t run) {
  return text(
      "SELECT string_agg('t' || no || ' ' || state, ', ' ORDER BY no) FROM ("
      "  SELECT task_no AS no, state FROM weir.task WHERE pool_id IS NOT NULL AND item < 0 AND run_id = " +
      std::to_string(run) +
      "  UNION ALL SELECT task_no, state FROM weir.task_done WHERE item < 0 AND run_id = " +
      std::to_string(run) + ") t");
}

std::string PipelineTest::text(const std::string& sql) {
  const auto result = sql_->execute("SELECT q::text FROM (" + sql + ") r(q)");
  return result.rows() == 0 ? "none" : result[0].get<std::optional<std::string>>(0).value_or("null");
}

}  // namespace weir::test
