// Doctor's judgements on the work in a database, on facts made up here.
#include <gtest/gtest.h>
#include <gmock/gmock.h>

#include "cli/doctor/judge_work.h"

namespace weir::cli {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// Two processes that have all in hand.
WorkFacts well() {
  WorkFacts facts;
  facts.living = facts.working = 2;
  facts.pipelines = 3;
  facts.scheduled = 2;
  facts.pools = {{.name = "default", .running = 3, .users = 9},
                 {.name = "heavy",
                  .slots = 2,
                  .taken = 2,
                  .running = 1,
                  .ready = 4,
                  .wanted = 5,
                  .waits = 3s,
                  .users = 6,
                  .widest = 2}};
  for (const char* const table : {"weir.run_done", "weir.task_attempt", "weir.task_done", "weir.task_log"})
    facts.history.push_back({table, 7, 30, 30, 1 << 20});
  facts.tables = {{.name = "task",
                   .live = 100,
                   .dead = 300,
                   .seq_scans = 4000,
                   .seq_rows = 8000,
                   .index_scans = 9'000'000}};
  facts.indexes = {{"task_pkey", 0, std::int64_t{1} << 40, true}, {"task_ready", 5, 4096, false}};
  return facts;
}

TEST(DoctorWork, IsWellWithItsFigures) {
  for (const Finding& finding : judge_work(well())) {
    EXPECT_EQ(finding.verdict, Verdict::ok) << finding.check << ": " << finding.message;
    EXPECT_EQ(finding.remedy, "");
  }
  const Findings pools = judge_pools(well());
  ASSERT_EQ(pools.size(), 1U) << "without a limit there is nothing to reckon";
  EXPECT_EQ(pools[0].message,
            "heavy: 2 of 2 slots taken by 1 task; ready are 4, which want 5, the first for 3.0 s; 6 tasks "
            "deployed for it");
}

TEST(DoctorWork, DeadLettersThatNobodyDrops) {
  WorkFacts facts = well();
  EXPECT_EQ(judge_letters(facts).message, "no job was given up");
  facts.letters = 50'000;
  facts.letters_since = 40 * 24h;
  EXPECT_EQ(judge_letters(facts).verdict, Verdict::ok) << "they will go by themselves";
  facts.letters_unbounded = 9'999;
  facts.letters_of = "mail";
  EXPECT_EQ(judge_letters(facts).verdict, Verdict::ok);
  facts.letters_unbounded = 10'000;
  EXPECT_EQ(judge_letters(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_letters(facts).message,
              HasSubstr("10,000 of queues that keep them for ever, most of mail"));
  EXPECT_THAT(judge_letters(facts).message, Not(HasSubstr("at least")));
  facts.letters = 150'000;
  facts.letters_unbounded = 100'000;
  EXPECT_THAT(judge_letters(facts).message,
              AllOf(HasSubstr("at least 150,000 jobs given up"), HasSubstr("at least 100,000 of queues")));
}

TEST(DoctorWork, IdleConsumersThatAreFrozenAndNotificationsThatNobodyTakes) {
  WorkFacts facts = well();
  facts.sleeping = 3;
  facts.notify_queue = 0.004;
  EXPECT_EQ(judge_sleepers(facts).verdict, Verdict::ok);
  EXPECT_EQ(judge_sleepers(facts).message,
            "3 idle consumers of groups; the server's queue of notifications is 0.4 % full");
  facts.frozen = 1;
  facts.silent = 10min;
  facts.frozen_pid = 4711;
  facts.frozen_at = "orders/warehouse";
  EXPECT_EQ(judge_sleepers(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_sleepers(facts).message,
              HasSubstr("1 frozen, the session 4711 at orders/warehouse for 10 m 0 s"));
  EXPECT_THAT(judge_sleepers(facts).remedy, HasSubstr("pg_terminate_backend(4711)"));
  facts.notify_queue = 0.5;
  EXPECT_THAT(judge_sleepers(facts).remedy,
              AllOf(HasSubstr("pg_terminate_backend(4711)"), HasSubstr("Once the queue is full")));
  facts.frozen = 0;
  EXPECT_EQ(judge_sleepers(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_sleepers(facts).remedy, Not(HasSubstr("4711")));
}

TEST(DoctorWork, DeadProcessesThatHoldSomething) {
  WorkFacts facts = well();
  facts.dead_with_claims = 1;
  facts.dead_tasks = 3;
  facts.overdue = 10s;
  EXPECT_EQ(judge_processes(facts).verdict, Verdict::ok) << "others are about to take them";
  facts.overdue = 5min;
  EXPECT_EQ(judge_processes(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_processes(facts).message,
              HasSubstr("1 dead, for 5 m 0 s, and has not taken back: 3 tasks, 0 jobs"));
  facts.living = facts.working = 0;
  EXPECT_EQ(judge_processes(facts).verdict, Verdict::fail);
  EXPECT_THAT(judge_processes(facts).remedy, HasSubstr("weir up"));
}

TEST(DoctorWork, WhatIsDueAndNobodyDoes) {
  WorkFacts facts = well();
  facts.due = 2;
  facts.due_for = 3min;
  EXPECT_EQ(judge_schedules(facts).verdict, Verdict::warn);
  facts.working = 0;
  EXPECT_EQ(judge_schedules(facts).verdict, Verdict::fail);
  EXPECT_THAT(judge_schedules(facts).message,
              HasSubstr("nobody works on them: 2 due since 3 m 0 s, 4 tasks ready since 3.0 s"));
  facts.due = 0;
  facts.pools[1].ready = 0;
  EXPECT_EQ(judge_schedules(facts).verdict, Verdict::ok) << "nothing waits for anybody";
  facts.working = 1;
  facts.untold = 5;
  EXPECT_EQ(judge_schedules(facts).verdict, Verdict::warn);
}

TEST(DoctorWork, PoolsThatStarve) {
  WorkFacts facts = well();
  facts.pools[1].waits = 10min;
  EXPECT_EQ(judge_pools(facts)[0].verdict, Verdict::warn);
  EXPECT_THAT(judge_pools(facts)[0].remedy, HasSubstr("More slots in weir.yml"));
  facts.pools[1].taken = 1;
  EXPECT_THAT(judge_pools(facts)[0].remedy, HasSubstr("weir worker"));
  facts.pools[1].waits = 1s;
  facts.pools[1].widest = 3;
  EXPECT_EQ(judge_pools(facts)[0].verdict, Verdict::warn);
  EXPECT_THAT(judge_pools(facts)[0].message, HasSubstr("one of these wants 3 slots"));
  facts = well();
  facts.pools[0].ready = 100;
  facts.pools[0].waits = 1h;
  EXPECT_EQ(judge_pools(facts).size(), 2U);
}

TEST(DoctorWork, AlertsThatDoNotArrive) {
  WorkFacts facts = well();
  facts.alerts_waiting = 1;
  facts.alerts_wait = 1min;
  EXPECT_EQ(judge_alerts(facts).verdict, Verdict::ok);
  facts.alerts_wait = 20min;
  facts.alert_error = "the answer was 500";
  EXPECT_EQ(judge_alerts(facts).verdict, Verdict::warn);
  EXPECT_THAT(
      judge_alerts(facts).message,
      HasSubstr(
          "1 on the way, the first for 20 m 0 s; 0 given up within a week (the last: the answer was 500)"));
  facts.alerts_waiting = 0;
  facts.alerts_given_up = 2;
  EXPECT_EQ(judge_alerts(facts).verdict, Verdict::warn);
}

TEST(DoctorWork, HistoryAheadAndBehind) {
  WorkFacts facts = well();
  facts.history[2].days_ahead = 1;
  EXPECT_EQ(judge_history(facts).verdict, Verdict::warn);
  facts.history[2].days_ahead = -1;
  EXPECT_EQ(judge_history(facts).verdict, Verdict::fail);
  facts = well();
  facts.history.pop_back();
  EXPECT_EQ(judge_history(facts).verdict, Verdict::fail) << "a table without any partition";
  facts = well();
  facts.history[0].days_kept = 40;
  EXPECT_EQ(judge_history(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_history(facts).message, HasSubstr("40 of 30 days are kept, 7 are made ahead, 4.0 MiB"));
}

TEST(DoctorWork, TablesThatAreScannedOrFullOfDeadRows) {
  WorkFacts facts = well();
  facts.tables[0].seq_rows = 400'000'000;
  ASSERT_EQ(judge_tables(facts).size(), 1U);
  EXPECT_EQ(judge_tables(facts)[0].verdict, Verdict::warn);
  EXPECT_THAT(judge_tables(facts)[0].message,
              HasSubstr("weir.task: 4,000 sequential scans read 100,000 rows each"));
  facts.tables[0].dead = 1'000'000;
  ASSERT_EQ(judge_tables(facts).size(), 2U);
  EXPECT_THAT(judge_tables(facts)[1].message, HasSubstr("1,000,000 dead rows beside 100 living ones"));
  EXPECT_THAT(judge_tables(facts)[1].remedy, HasSubstr("VACUUM weir.task;"));
}

TEST(DoctorWork, IndexesThatNobodyUses) {
  WorkFacts facts = well();
  facts.indexes.push_back({"run_done_pipeline", 0, 4096, false});
  EXPECT_EQ(judge_indexes(facts).verdict, Verdict::ok);
  EXPECT_EQ(judge_indexes(facts).message,
            "1 of 3 were not used since the statistics were reset, 4.0 KiB in all");
  facts.indexes.back().bytes = std::int64_t{1} << 30;
  EXPECT_EQ(judge_indexes(facts).verdict, Verdict::warn);
  EXPECT_THAT(judge_indexes(facts).message, HasSubstr("weir.run_done_pipeline (1.0 GiB)"));
}

}  // namespace
}  // namespace weir::cli
