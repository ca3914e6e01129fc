// Tasks of runs in SQL, where two meet: what one of them holds while the other decides.

#include <atomic>
#include <functional>
#include <thread>

#include <gtest/gtest.h>

#include "pg/error.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"
#include "support/pipeline_test.h"
#include "support/waiting.h"

namespace weir::pipeline {
namespace {

using enum TriggerRule;

class PipelineRunsRaces : public test::PipelineTest {
 protected:
  /// `action` on a session of its own, until it has ended or waits for a lock; then `release`.
  void meet(const std::function<void(pg::Session&)>& action, const std::function<void()>& release) {
    std::atomic<int> pid{0};
    std::atomic<bool> ended{false};
    std::exception_ptr failure;
    std::jthread thread([&] {
      try {
        pg::Session mine = session();
        pid = mine.backend_pid();
        action(mine);
      } catch (...) {
        failure = std::current_exception();
      }
      ended = true;
    });
    test::wait_until(
        [&] {
          return ended ||
                 text("SELECT cardinality(pg_blocking_pids(" + std::to_string(pid) + ")) > 0") == "true";
        },
        "the other to end or to wait");
    release();
    thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  /// A run whose t0 was cut into pieces, of which `parallel` may run at a time.
  std::int64_t mapped(std::int32_t pipeline, std::int64_t worker, std::size_t pieces,
                      std::optional<std::int32_t> parallel = {}) {
    const auto run = start_run(pipeline);
    for (const auto& attempt : claim(*sql_, worker, ++claims_, 10)) {
      if (attempt.key.no != 0) continue;
      const std::vector<pg::JsonView> elements(pieces, pg::JsonView{"1"});
      const auto answer = sql_->run<sql::ExpandTask>(worker, attempt.claim, run, 0, elements, parallel);
      EXPECT_TRUE(answer.one().expanded);
    }
    return run;
  }
  static std::vector<TaskNews> news_of(const auto& rows) {
    std::vector<TaskNews> news;
    for (const auto& row : rows) news.push_back({{row.run_id, row.task_no, row.item}, to_news(row.state)});
    return news;
  }
  void bury(std::int64_t worker) {
    sql_->execute("UPDATE weir.process SET dead = true WHERE id = $1", worker);
  }

  std::int64_t claims_ = 0;
};

TEST_F(PipelineRunsRaces, APieceThatWaitsIsBegunAlsoWhereItIsHeldWhenItsTurnComes) {
  for (const std::size_t pieces : {3U, 12U}) {  // told at once, and told later
    const auto worker = process();
    mapped(store(define("p" + std::to_string(pieces), {{}})), worker, pieces, 1);
    const auto first = claim(*sql_, worker, ++claims_, 10);
    ASSERT_EQ(first.size(), 1U);
    // As who begins other tasks of the run again, half way through its locks.
    pg::Session other = session();
    other.execute("BEGIN");
    other.execute("SELECT FROM weir.task WHERE run_id = $1 AND item > 0 FOR UPDATE", first[0].key.run);
    meet([&](pg::Session& mine) { end(mine, first[0], "success"); }, [&] { other.execute("ROLLBACK"); });
    EXPECT_EQ(claim(*sql_, worker, ++claims_, 10).size(), 1U) << "nobody would ever begin it";
    sql_->execute("DELETE FROM weir.task");
  }
}

TEST_F(PipelineRunsRaces, OtherTasksOfARunAreBegunAgainBesidePiecesThatRun) {
  const auto worker = process();
  const auto run = mapped(store(define("p", {{}, {}})), worker, 3, 1);
  const auto running = text("SELECT claim FROM weir.task WHERE task_no = 1");
  end(*sql_, {.key = {run, 1, -1}, .worker = worker, .claim = std::stoll(running)}, "failed");
  const auto piece = claim(*sql_, worker, ++claims_, 10).at(0);
  pg::Session other = session();
  other.execute("BEGIN");
  other.execute("SELECT weir.reset_tasks($1, '{1}')", run);
  EXPECT_EQ(text("SELECT count(*) FROM (SELECT FROM weir.task WHERE item >= 0 FOR UPDATE SKIP LOCKED) t"),
            "3");
  meet([&](pg::Session& mine) { end(mine, piece, "success"); }, [&] { other.execute("COMMIT"); });
  EXPECT_EQ(claim(*sql_, worker, ++claims_, 10).size(), 2U) << "the next piece, and t1";
}

TEST_F(PipelineRunsRaces, WhoEndsARunLocksItsTasksInTheOneOrder) {
  const auto worker = process();
  const auto run = mapped(store(define("p", {{}})), worker, 3);
  // What follows is left undone, and the end of the run with it.
  for (const auto& piece : claim(*sql_, worker, ++claims_, 10)) finish(*sql_, piece, "success");
  const auto untold = sql_->run<sql::UntoldTasks>(std::int64_t{0}, 100);
  for (const auto& each : news_of(untold)) ASSERT_EQ(each.state, TaskNews::State::untold);
  while (!sql_->run<sql::TellRuns>(std::vector<std::int64_t>{run}, 2).empty()) continue;
  ASSERT_EQ(text("SELECT state FROM weir.task WHERE pool_id IS NULL"), "ready");
  // A late result of the piece 1, between its own row and its task's.
  pg::Session late = session();
  late.execute("BEGIN");
  late.execute("SELECT FROM weir.task WHERE run_id = $1 AND task_no = 0 AND item = 1 FOR UPDATE", run);
  EXPECT_NO_THROW(meet(
      [&](pg::Session& mine) { mine.run<sql::EndRuns>(std::vector<std::int64_t>{run}); },
      [&] {
        late.execute("SELECT FROM weir.task WHERE run_id = $1 AND task_no = 0 AND item = -1 FOR UPDATE", run);
        late.execute("COMMIT");
      }));
  EXPECT_EQ(text("SELECT state FROM weir.run_done"), "success");
}

TEST_F(PipelineRunsRaces, ALogicalTimeHasOneRunAlsoWhileThatBecomesHistory) {
  const auto pipeline = store(define("p", {{}}));
  const std::string create = "SELECT weir.create_run(" + std::to_string(pipeline) +
                             ", 'scheduled', '2026-01-01', '2026-01-01', '2026-01-01', '{}')";
  const auto run = sql_->execute(create)[0].get<std::int64_t>(0);
  sql_->run<sql::StartRuns>(pipeline);
  finish(*sql_, claim(*sql_, process(), 1, 1).at(0), "success");
  pg::Session ending = session();
  ending.execute("BEGIN");
  ASSERT_EQ(ending.run<sql::EndRuns>(std::vector<std::int64_t>{run}).size(), 1);
  std::optional<std::int64_t> second;
  meet([&](pg::Session& mine) { second = mine.execute(create)[0].get<std::optional<std::int64_t>>(0); },
       [&] { ending.execute("COMMIT"); });
  EXPECT_FALSE(second);
  EXPECT_EQ(text("SELECT count(*) FROM weir.run"), "0");
}

TEST_F(PipelineRunsRaces, WhatIsLessUrgentDoesNotPassWhatNeedsMoreSlots) {
  const auto pipeline = store(define("p", {{.pool = "etl", .slots = 2, .priority = 9},
                                           {.pool = "etl", .slots = 2, .priority = 5},
                                           {.pool = "etl"},
                                           {.pool = "other"}}));
  sql_->execute("UPDATE weir.pool SET slots = 3");
  start_run(pipeline);
  const auto worker = process();
  const auto first = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(first.size(), 2U) << "one of etl, and that of the other pool";
  EXPECT_TRUE(claim(*sql_, worker, 2, 10).empty()) << "or the second would wait for ever";
  for (const auto& attempt : first) end(*sql_, attempt, "success");
  EXPECT_EQ(claim(*sql_, worker, 3, 10).size(), 2U);
}

TEST_F(PipelineRunsRaces, AMappedTaskUpdatesItsDatasets) {
  auto definition = define("p", {{}});
  definition.tasks[0].produces = {"sales"};
  const auto pipeline = store(definition);
  const auto listener = store(define("q", {{}}));
  sql_->execute("INSERT INTO weir.pipeline_dataset VALUES ('sales', $1)", listener);
  const auto worker = process();
  for (const std::size_t pieces : {2U, 0U, 10U}) {
    sql_->execute("UPDATE weir.pipeline SET max_active_runs = 9");
    mapped(pipeline, worker, pieces);
    EXPECT_EQ(text("SELECT count(*) FROM weir.dataset_update"), pieces == 0 ? "1" : "0");
    for (const auto& piece : claim(*sql_, worker, ++claims_, 10)) end(*sql_, piece, "success");
    EXPECT_EQ(text("SELECT count(*) FROM weir.dataset_update"), "1") << pieces;
    sql_->execute("DELETE FROM weir.dataset_update");
  }
}

TEST_F(PipelineRunsRaces, WhatALivingProcessRunsIsNotRescued) {
  const auto run = start_run(store(define("p", {{}})));
  ASSERT_EQ(claim(*sql_, process(), 1, 1).size(), 1U);
  bury(process());
  EXPECT_EQ(sql_->run<sql::RescueTasks>(10).size(), 0);
  EXPECT_EQ(states(run), "t0 running");
}

TEST_F(PipelineRunsRaces, AnEndThatIsToldTwiceIsCountedOnce) {
  const auto run = start_run(store(define("p", {{}, {}, {{0, 1}}})));
  const auto worker = process();
  const auto claimed = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(claimed.size(), 2U);
  end(*sql_, claimed[0], "success");
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(sql_->run<sql::TellRuns>(std::vector<std::int64_t>{run}, 100).size(), 0);
  EXPECT_EQ(states(run), "t0 success, t1 running, t2 waiting");
}

TEST_F(PipelineRunsRaces, WhoFindsAnotherOneTellingLeavesItToHim) {
  std::vector<Task> tasks(12);
  tasks.push_back({.after = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}});
  const auto run = start_run(store(define("p", tasks)));
  const auto worker = process();
  const auto claimed = claim(*sql_, worker, 1, 20);
  ASSERT_EQ(claimed.size(), 12U);
  Aftermath first;
  for (int i = 0; i < 6; ++i) first.add(finish(*sql_, claimed[static_cast<std::size_t>(i)], "success"));
  pg::Session other = session();
  other.execute("BEGIN");
  first.carry_out(other);
  pg::Session mine = session();
  mine.execute("SET lock_timeout = '1ms'");
  Aftermath second;
  for (std::size_t i = 6; i < 12; ++i) second.add(finish(mine, claimed[i], "success"));
  EXPECT_NO_THROW(second.carry_out(mine)) << "nobody waits for the row of t12";
  EXPECT_TRUE(second.empty());
  EXPECT_EQ(text("SELECT remaining FROM weir.task WHERE task_no = 12"), "12");
  other.execute("COMMIT");
  // As he does it himself, who looks again after each transaction.
  first.add({{{run, 0, -1}, TaskNews::State::untold}});
  first.carry_out(other);
  EXPECT_EQ(text("SELECT state || ' ' || remaining FROM weir.task WHERE task_no = 12"), "ready 0");
  EXPECT_EQ(text("SELECT count(*) FROM weir.task WHERE NOT told AND weir.has_ended(state)"), "0");
}

TEST_F(PipelineRunsRaces, WhoTellsLooksAgainUntilNothingIsLeftToHim) {
  std::vector<Task> tasks(12);
  tasks.push_back({.after = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}});
  const auto run = start_run(store(define("p", tasks)));
  for (const auto& each : claim(*sql_, process(), 1, 20)) finish(*sql_, each, "success");
  int rounds = 0;
  const std::vector<std::int64_t> runs{run};
  for (;; ++rounds) {
    const auto told = news_of(sql_->run<sql::TellRuns>(runs, 5));
    if (told.empty()) break;
    EXPECT_EQ(told[0].state, TaskNews::State::untold) << "to look again, also after the last";
  }
  EXPECT_EQ(rounds, 3);
  EXPECT_EQ(text("SELECT state FROM weir.task WHERE task_no = 12"), "ready");
}

TEST_F(PipelineRunsRaces, AnEndWaitsForNobodyWhoHasItsSuccessor) {
  const auto run = start_run(store(define("p", {{}, {}, {{0, 1}}})));
  const auto worker = process();
  const auto claimed = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(claimed.size(), 2U);
  // Of SQL: its user's transaction is open until it is committed.
  pg::Session other = session();
  other.execute("BEGIN");
  finish(other, claimed[0], "success");
  pg::Session mine = session();
  mine.execute("SET lock_timeout = '1ms'");
  Aftermath later;
  EXPECT_NO_THROW(later.add(finish(mine, claimed[1], "success")));
  EXPECT_FALSE(later.empty());
  other.execute("COMMIT");
  later.carry_out(mine);
  EXPECT_EQ(states(run), "t0 success, t1 success, t2 ready");
}

TEST_F(PipelineRunsRaces, AFailureThatIsAllowedCountsAsSuccess) {
  const auto run =
      start_run(store(define("p", {{.allow_failure = true}, {}, {.after = {0, 1}, .rule = one_success}})));
  const auto worker = process();
  const auto claimed = claim(*sql_, worker, 1, 10);
  ASSERT_EQ(claimed.size(), 2U);
  end(*sql_, claimed[0], "failed");
  EXPECT_EQ(states(run), "t0 failed, t1 running, t2 ready");
}

TEST_F(PipelineRunsRaces, WhatWasCancelledIsNotHandedBack) {
  const auto run = start_run(store(define("p", {{}})));
  const auto worker = process();
  ASSERT_EQ(claim(*sql_, worker, 1, 1).size(), 1U);
  sql_->run<sql::CancelRun>(run);
  sql_->run<sql::ReturnTaskClaim>(worker, std::int64_t{1});
  EXPECT_EQ(states(run), "t0 cancelled");
}

TEST_F(PipelineRunsRaces, AMarkStopsThePiecesThatRun) {
  const auto worker = process();
  const auto run = mapped(store(define("p", {{}})), worker, 2);
  ASSERT_EQ(claim(*sql_, worker, ++claims_, 10).size(), 2U);
  pg::Session listener = session();
  listener.execute("LISTEN weir_" + std::to_string(worker));
  sql_->run<sql::MarkTask>(run, 0, "success");
  listener.execute("SELECT 1");
  const auto heard = listener.next_notification();
  ASSERT_TRUE(heard);
  EXPECT_EQ(heard->payload, "cancel");
}

TEST_F(PipelineRunsRaces, OnlyDeathsInARowCount) {
  const auto run = start_run(store(define("p", {{}})));
  const auto die = [&] {
    const auto worker = process();
    ASSERT_EQ(claim(*sql_, worker, 1, 1).size(), 1U);
    bury(worker);
    sql_->run<sql::RescueTasks>(100);
  };
  for (int i = 0; i < 3; ++i) die();
  const auto lives = process();
  const auto attempt = claim(*sql_, lives, 1, 1).at(0);
  finish_tasks(*sql_, lives, {{&attempt, {"retry_wait", Duration::zero(), false}, ""}});
  sql_->run<sql::PromoteTasks>(10);
  die();
  EXPECT_EQ(states(run), "t0 ready") << "it has ended by itself once: it kills nobody";
  EXPECT_EQ(text("SELECT losses FROM weir.task WHERE task_no = 0"), "1");
}

TEST_F(PipelineRunsRaces, AServerThatWentAwayIsNoFailureButNotForEver) {
  const auto run = start_run(store(define("p", {{}})));
  const auto worker = process();
  for (int i = 1; i <= 4; ++i) {
    auto attempt = claim(*sql_, worker, i, 1).at(0);
    attempt.result.lost = "gone";
    finish_tasks(*sql_, worker, {{&attempt, {"retry_wait", Duration::zero(), false}, "gone"}});
    EXPECT_EQ(states(run), i < 4 ? "t0 retry_wait" : "t0 failed");
    sql_->run<sql::PromoteTasks>(10);
  }
  EXPECT_EQ(states(run), "t0 failed");
  EXPECT_EQ(text("SELECT failures || error FROM weir.task WHERE task_no = 0"),
            "0the server went away under it, for the 4th time: gone");
  EXPECT_EQ(text("SELECT string_agg(outcome, ',') FROM weir.task_attempt"), "lost,lost,lost,lost");
}

TEST_F(PipelineRunsRaces, AWaitThatIsDoneAgainHasAllItsTime) {
  const auto run = start_run(store(define("p", {{}, {{0}}})));
  const auto worker = process();
  end(*sql_, claim(*sql_, worker, 1, 1).at(0), "success");
  end(*sql_, claim(*sql_, worker, 2, 1).at(0), "failed");
  sql_->run<sql::BeginAgain>(run, std::vector<std::int32_t>{1});
  sql_->execute("UPDATE weir.run SET started_at = clock_timestamp() - interval '1 day'");
  sql_->execute("UPDATE weir.task SET ended_at = ended_at - interval '1 hour'");
  const auto again = sql_->run<sql::TaskWaits>(run, 1, -1);
  EXPECT_LT(again.one().waits_ms, 60'000);
  sql_->execute("UPDATE weir.task SET reset_at = NULL");
  const auto without = sql_->run<sql::TaskWaits>(run, 1, -1);
  EXPECT_GE(without.one().waits_ms, 3'600'000) << "since t0 has ended";
}

TEST_F(PipelineRunsRaces, ADeploymentHoldsNoPoolThatStaysAsItIs) {
  start_run(store(define("p", {{.pool = "etl"}})));
  sql_->run<sql::SetPool>("etl", std::optional<std::int32_t>(2));
  pg::Session deploying = session();
  deploying.execute("BEGIN");
  deploying.run<sql::SetPool>("etl", std::optional<std::int32_t>(2));
  deploying.run<sql::SetPool>("new", std::optional<std::int32_t>(1));
  EXPECT_EQ(claim(*sql_, process(), 1, 1).size(), 1U);
  deploying.execute("COMMIT");
  EXPECT_EQ(text("SELECT string_agg(name || coalesce(slots, 0), ',' ORDER BY name) FROM weir.pool"),
            "default0,etl2,new1");
}

}  // namespace
}  // namespace weir::pipeline
