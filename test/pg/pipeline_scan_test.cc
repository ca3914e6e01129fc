// What processes ask again and again meets living rows only, and by index: counted by the server while it
// happens, within functions too, with 500 pipelines at work and 30 days of history behind them.

#include <map>
#include <set>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pg/transaction.h"
#include "schema/queries/tasks.h"
#include "support/pipeline_test.h"

namespace weir::pipeline {
namespace {

constexpr int kPipelines = 500;

// Past days, named as weir.keep_run_history() names them.
constexpr const char* kMakePastDays = R"(
DO $$
DECLARE
  parent text;
  day    date;
BEGIN
  FOREACH parent IN ARRAY ARRAY['run_done', 'task_done', 'task_attempt', 'task_log'] LOOP
    FOR day IN SELECT (now() AT TIME ZONE 'UTC')::date - n FROM generate_series(2, 30) n LOOP
      EXECUTE format('CREATE TABLE IF NOT EXISTS weir.%I PARTITION OF weir.%I FOR VALUES FROM (%L) TO (%L)',
                     parent || '_' || to_char(day, 'YYYYMMDD'), parent, day::timestamp AT TIME ZONE 'UTC',
                     (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
  END LOOP;
END $$;
CREATE VIEW past AS
SELECT 1000000 + n AS id, 1 + n % 500 AS pipeline_id,
       date_trunc('day', now(), 'UTC') - (1 + n % 28) * interval '1 day' - interval '1 s' * (n % 80000) AS at
  FROM generate_series(1, 3000) n;
INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, started_at, pipeline_id, version,
                           priority, tasks, state, kind, made_by, params)
SELECT id, at, at, at, at, at, at, pipeline_id, 1, 0, 30, 'success', 'scheduled', 'test', '{}' FROM past;
INSERT INTO weir.task_done (run_id, run_ended_at, task_no, item, attempt, failures, ready_at, started_at, ended_at, state)
SELECT id, at, k, -1, 1, 0, at, at, at, 'success' FROM past, generate_series(0, 29) k;
INSERT INTO weir.task_attempt (ended_at, run_id, task_no, item, attempt, worker_id, started_at, outcome)
SELECT at, id, k, -1, 1, 1, at, 'success' FROM past, generate_series(0, 29) k;
INSERT INTO weir.task_log (at, run_id, task_no, item, attempt, numbers, streams, times, lines)
SELECT at, id, 1, -1, 1, '{1}', '{out}', ARRAY[at], '{said}' FROM past;
DROP VIEW past;)";

constexpr const char* kMakePipelines = R"(
INSERT INTO weir.pipeline (max_active_runs, version, name, project, next_at, fired_at)
SELECT 1, 1, 'p' || n, 'test', clock_timestamp(), clock_timestamp() - interval '5 min' FROM generate_series(2, 500) n;
INSERT INTO weir.pipeline_version (pipeline_id, version, hash, definition)
SELECT p.id, 1, v.hash, v.definition FROM weir.pipeline p, weir.pipeline_version v WHERE v.pipeline_id = 1 AND p.id > 1;
INSERT INTO weir.pipeline_task
SELECT (jsonb_populate_record(k, jsonb_build_object('pipeline_id', p.id))).*
  FROM weir.pipeline p, weir.pipeline_task k WHERE k.pipeline_id = 1 AND p.id > 1;
-- Run n is of pipeline n and begins, run 500 + n waits for it.
SELECT count(weir.create_run(id, 'scheduled', now() - interval '5 min', now(), now(), '{}')) FROM (SELECT id FROM weir.pipeline ORDER BY id) p;
SELECT count(weir.create_run(id, 'scheduled', now(), now(), now(), '{}')) FROM (SELECT id FROM weir.pipeline ORDER BY id) p;
SELECT count(*) FROM weir.pipeline p CROSS JOIN LATERAL weir.start_runs(p.id);)";

// Of the first runs: tasks in every state that somebody looks for.
constexpr const char* kMakeStates = R"(
UPDATE weir.task SET state = 'retry_wait', ready_at = now() - interval '1 s' WHERE run_id IN (11, 12) AND state = 'ready';
UPDATE weir.task SET state = 'failed', ended_at = now() - interval '1 min' WHERE run_id = 13 AND state = 'ready';
UPDATE weir.task SET state = 'success', told = true, remaining = 0, ended_at = now() WHERE run_id = 14 AND pool_id IS NOT NULL;
UPDATE weir.task SET state = 'ready', remaining = 0, ready_at = now() - interval '1 min' WHERE run_id = 14 AND pool_id IS NULL;
INSERT INTO weir.pipeline_dataset VALUES ('a', 20), ('a', 21), ('b', 21);
INSERT INTO weir.dataset_update (pipeline_id, dataset) VALUES (20, 'a'), (21, 'a');)";

class PipelineScans : public test::PipelineTest {
 protected:
  void SetUp() override {
    PipelineTest::SetUp();
    sql_->set_timeout(std::chrono::minutes(2));
    // Ten beside each other, ten behind them, one that comes after ten, and so is told in batches, and the
    // rest.
    std::vector<Task> tasks(10);
    for (int i = 0; i < 10; ++i) tasks.push_back({.after = {i}});
    tasks.push_back({});
    for (int i = 10; i < 20; ++i) tasks.back().after.push_back(i);
    for (int i = 0; i < 9; ++i) tasks.push_back({.after = {20}});
    store(define("p1", tasks));
    sql_->execute_script(kMakePastDays);
    sql_->execute_script(kMakePipelines);
    sql_->execute_script(kMakeStates);
    yesterday_ = text("SELECT to_char((now() AT TIME ZONE 'UTC') - interval '1 day', 'YYYYMMDD')");
    worker_ = process();
    mine_ = claim(*sql_, worker_, 1, 100);
    const auto dead = process();
    claim(*sql_, dead, 1, 100);
    sql_->execute("UPDATE weir.process SET dead = true WHERE id = $1", dead);
  }

  struct Touched {
    std::int64_t scans = 0;  ///< from one end to the other
    std::int64_t looks = 0;  ///< by index
  };
  std::map<std::string, Touched> touched() {
    std::map<std::string, Touched> all;
    const auto rows = sql_->execute(
        "SELECT relname::text, seq_scan, coalesce(idx_scan, 0) FROM pg_stat_xact_all_tables WHERE schemaname "
        "= "
        "'weir' AND seq_scan + coalesce(idx_scan, 0) > 0");
    for (const auto& row : rows)
      all[row.get<std::string>(0)] = {row.get<std::int64_t>(1), row.get<std::int64_t>(2)};
    return all;
  }

  /// As often as it takes until the server may choose a plan that knows no parameters.
  template <class Ask>
  void expect_only_living_rows(const std::string& name, Ask ask, const std::string& may_be_read = {}) {
    static const std::set<std::string> living{"task", "run", "pipeline", "pipeline_task", "pipeline_version"};
    for (int i = 0; i < 7; ++i) {
      const pg::Transaction undone(*sql_);
      const auto before = touched();
      ask();
      for (const auto& [table, after] : touched()) {
        const auto known = before.find(table);
        const Touched was = known == before.end() ? Touched{} : known->second;
        const std::string day = table.substr(table.rfind('_') + 1);
        const bool past = day.size() == 8 && day.starts_with("20") && day < yesterday_;
        if (past) {
          EXPECT_EQ(after.scans - was.scans + after.looks - was.looks, 0) << name << " looks into " << table;
        } else if (living.contains(table) && table != may_be_read) {
          EXPECT_EQ(after.scans - was.scans, 0) << name << " goes through " << table;
        }
      }
      // A task that waits for a pipeline asks now and then, and its plan may be one for all times: days are
      // left out when it begins, and were locked by then.
      if (name == "pipeline_has_succeeded") continue;
      EXPECT_EQ(text("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.pid = "
                     "pg_backend_pid() AND c.relkind = 'r' AND c.relname ~ '_20\\d{6}$' AND "
                     "to_date(right(c.relname, 8), 'YYYYMMDD') < now() - interval '2 days'"),
                "0")
          << name << " locks days that have gone by";
      if (HasFailure()) return;
    }
  }

  void ask_all() {
    std::int64_t number = 100;
    const TaskAttempt& own = mine_.at(0);
    const TaskKey& key = own.key;
    pg::Session& session = *sql_;
    const auto none = std::optional<WallTime>();
    const std::vector<std::int64_t> nobody;
    const auto now =
        WallTime(std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()));
    expect_only_living_rows("claim_tasks", [&] {
      EXPECT_EQ(session.run<sql::ClaimTasks>(worker_, ++number, 50, 0, 7, std::vector<std::int64_t>()).size(),
                50);
    });
    expect_only_living_rows("return_task_claim",
                            [&] { session.run<sql::ReturnTaskClaim>(worker_, std::int64_t{1}); });
    expect_only_living_rows("finish_tasks", [&] { EXPECT_EQ(finish(session, own, "success").size(), 2U); });
    expect_only_living_rows("tell_runs", [&] {
      const auto ended = session.execute(
          "UPDATE weir.task SET state = 'success', ended_at = now() WHERE run_id = 17 AND task_no = 10 "
          "RETURNING run_id");
      ASSERT_EQ(ended.rows(), 1);
      EXPECT_EQ(session.run<sql::TellRuns>(std::vector<std::int64_t>{17}, 500).size(), 1);
    });
    expect_only_living_rows("expand_task", [&] {
      const std::vector<pg::JsonView> elements(20, pg::JsonView{"1"});
      const auto expanded = session.run<sql::ExpandTask>(worker_, own.claim, key.run, key.no, elements,
                                                         std::optional<std::int32_t>(4));
      EXPECT_TRUE(expanded.one().expanded);
    });
    expect_only_living_rows("own_tasks", [&] { EXPECT_EQ(session.run<sql::OwnTasks>(worker_).size(), 100); });
    expect_only_living_rows("still_owns_task", [&] {
      session.run<sql::StillOwnsTask>(worker_, own.claim, key.run, key.no, key.item);
    });
    expect_only_living_rows("task_waits", [&] { session.run<sql::TaskWaits>(key.run, key.no, key.item); });
    expect_only_living_rows("promote_tasks", [&] {
      const auto promoted = session.run<sql::PromoteTasks>(1000);
      EXPECT_EQ(promoted.one().promoted, 20);
    });
    expect_only_living_rows("rescue_tasks",
                            [&] { EXPECT_EQ(session.run<sql::RescueTasks>(1000).size(), 100); });
    expect_only_living_rows("untold_tasks", [&] {
      EXPECT_EQ(session.run<sql::UntoldTasks>(std::int64_t{3000}, 1000).size(), 11);
    });
    expect_only_living_rows(
        "end_runs", [&] { EXPECT_EQ(session.run<sql::EndRuns>(std::vector<std::int64_t>{14}).size(), 1); });
    expect_only_living_rows("start_runs", [&] {
      session.execute("UPDATE weir.pipeline SET max_active_runs = 2 WHERE id = 30");
      EXPECT_EQ(session.run<sql::StartRuns>(30).size(), 1);
    });
    expect_only_living_rows("startable_pipelines",
                            [&] { EXPECT_EQ(session.run<sql::StartablePipelines>().size(), 0); });
    expect_only_living_rows("has_runs", [&] { session.run<sql::HasRuns>(); });
    expect_only_living_rows("task_definition", [&] { session.run<sql::TaskDefinition>(7, 1); });
    expect_only_living_rows("due_pipelines",
                            [&] { EXPECT_EQ(session.run<sql::DuePipelines>(none, 50, nobody).size(), 50); });
    expect_only_living_rows("next_firing", [&] { session.run<sql::NextFiring>(none, nobody); });
    expect_only_living_rows("set_next_firing", [&] { session.run<sql::SetNextFiring>(7, none, none); });
    expect_only_living_rows("create_run", [&] {
      session.run<sql::CreateRun>(7, "scheduled", now, now, now, pg::JsonView{"{}"}, 0, none, std::nullopt);
    });
    expect_only_living_rows("has_dataset_updates", [&] { session.run<sql::HasDatasetUpdates>(); });
    // There are as many pipelines as there are; it is asked when a dataset was updated.
    expect_only_living_rows(
        "updated_pipelines", [&] { EXPECT_EQ(session.run<sql::UpdatedPipelines>(50, nobody).size(), 1); },
        "pipeline");
    expect_only_living_rows("write_task_log", [&] {
      session.run<sql::WriteTaskLog>(key.run, key.no, key.item, 1, std::vector<std::int64_t>{1},
                                     std::vector<std::string_view>{"out"}, std::vector<WallTime>{now},
                                     std::vector<std::string_view>{"said"});
    });
    expect_only_living_rows("pipeline_has_succeeded", [&] {
      session.run<sql::PipelineHasSucceeded>("p7", now, now - std::chrono::hours(24));
    });
  }

  std::int64_t worker_ = 0;
  std::vector<TaskAttempt> mine_;
  std::string yesterday_;  ///< 20260131
};

TEST_F(PipelineScans, LoopsMeetLivingRowsByIndexHoweverLongTheHistory) {
  ASSERT_EQ(text("SELECT count(*) FROM weir.task"), std::to_string(kPipelines * 31));
  ask_all();  // as after a flood: nothing was analysed yet
  for (const char* table : {"task", "run", "pipeline", "pipeline_task", "pipeline_version", "process",
                            "run_done", "task_done", "task_attempt", "task_log"})
    sql_->execute(fmt::format("ANALYZE weir.{}", table));
  // What was planned before is of no account.
  sql_->execute("DISCARD PLANS");
  ask_all();
}

}  // namespace
}  // namespace weir::pipeline
