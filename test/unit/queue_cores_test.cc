// What the queue decides, without a server: where to claim, how much to take, what becomes of a job.

#include <limits>

#include <gtest/gtest.h>

#include "queue/claim_marks.h"
#include "queue/durations.h"
#include "queue/kinds.h"
#include "work/settling.h"
#include "work/take_size.h"

namespace weir::queue {
namespace {

using work::Action;
using work::decide;
using work::Decision;

using namespace std::chrono_literals;
using work::Outcome;

constexpr SteadyTime kStart{1000s};

TEST(Durations, AQuantileIsNotLessThanItWasAndAtMostAQuarterMore) {
  for (std::int64_t micros = 0; micros < 2'000'000; micros += 1 + micros / 50) {
    Durations one;
    one.add(std::chrono::microseconds(micros));
    const Duration seen = one.quantile(0.5);
    ASSERT_GT(seen, std::chrono::microseconds(micros));
    ASSERT_LE(seen, std::chrono::microseconds(micros + micros / 4 + 1)) << micros;
  }
}

TEST(Durations, CountsAreAddedUpStepByStep) {
  Durations all;
  EXPECT_EQ(all.quantile(0.5), Duration::zero());
  for (int i = 0; i < 98; ++i) all.add(1us);
  Durations more;
  more.add(1h);
  more.add(1000h);
  all.add(more);
  EXPECT_EQ(all.count(), 100);
  EXPECT_EQ(all.quantile(0.98), 2us);
  EXPECT_GE(all.quantile(0.99), 1h);
  EXPECT_LE(all.quantile(0.99), 75min);
  EXPECT_GE(all.quantile(1), 300h) << "what is too long is in the last step";
  EXPECT_EQ(Durations(all.steps()).quantile(0.98), 2us);
  const std::vector<std::int64_t> strange(1000, -1);
  EXPECT_EQ(Durations(strange).count(), 0) << "the table may hold anything";
  all.add(-5s);
  EXPECT_EQ(all.quantile(0.001), 1us) << "a clock that goes back";
}

TEST(ClaimMarks, WithoutAMarkTheHeadIsDue) {
  ClaimMarks marks;
  marks.head_claimed(kStart, kStart);
  EXPECT_TRUE(marks.head_is_due(kStart));
  EXPECT_TRUE(marks.marks().empty());
}

TEST(ClaimMarks, AClaimFromTheHeadServesForASecond) {
  ClaimMarks marks;
  marks.head_claimed(kStart, kStart);
  marks.found(5, 42, 60, true);
  EXPECT_FALSE(marks.head_is_due(kStart + 999ms));
  EXPECT_TRUE(marks.head_is_due(kStart + 1s)) << "what came in below the mark has to be found";
}

TEST(ClaimMarks, BeginsAtTheFirstWhereMoreMayBeBehindItAndElseAfterTheLast) {
  ClaimMarks marks;
  marks.found(0, 42, 60, true);
  ASSERT_EQ(marks.marks().size(), 1U);
  EXPECT_EQ(marks.marks()[0].above, 41);
  marks.found(0, 42, 60, false);
  EXPECT_EQ(marks.marks()[0].above, 60);
}

TEST(ClaimMarks, TheMostUrgentPriorityComesFirst) {
  ClaimMarks marks;
  marks.found(7, 1, 1, false);
  marks.found(-3, 1, 1, false);
  ASSERT_EQ(marks.marks().size(), 2U);
  EXPECT_EQ(marks.marks()[0].priority, -3);
}

TEST(ClaimMarks, TooManyPrioritiesAreLeftToTheHead) {
  ClaimMarks marks;
  marks.head_claimed(kStart, kStart);
  for (std::int16_t priority = 0; priority <= 8; ++priority) marks.found(priority, 1, 1, false);
  EXPECT_TRUE(marks.head_is_due(kStart));
}

TEST(ClaimMarks, ASlowWalkFromTheHeadGetsATwentiethOfTheTime) {
  ClaimMarks marks;
  marks.head_claimed(kStart, kStart + 500ms);
  marks.found(0, 1, 1, false);
  EXPECT_FALSE(marks.head_is_cheap());
  EXPECT_FALSE(marks.head_is_due(kStart + 500ms + 9999ms));
  EXPECT_TRUE(marks.head_is_due(kStart + 500ms + 10s));
}

TEST(ClaimMarks, ForgetLooksFromTheHead) {
  ClaimMarks marks;
  marks.head_claimed(kStart, kStart);
  marks.found(0, 1, 1, false);
  marks.forget();
  EXPECT_TRUE(marks.head_is_due(kStart));
}

TEST(TakeSize, GrowsByDoublingAndFallsAtOnce) {
  work::TakeSize size;
  EXPECT_EQ(size.next(), 10U);
  size.took(10, 1ms);
  EXPECT_EQ(size.next(), 20U) << "500 would fit";
  for (int i = 0; i < 20; ++i) size.took(size.next(), Duration::zero());
  EXPECT_EQ(size.next(), work::TakeSize::kMost);
  size.took(1000, 10s);
  EXPECT_EQ(size.next(), 5U);
  size.took(5, 1h);
  EXPECT_EQ(size.next(), 1U);
  size.took(0, 1h);
  EXPECT_EQ(size.next(), 1U);
}

constexpr BackoffPolicy kBackoff{.base = 1s, .cap = 10s, .factor = 2.0, .jitter = 0.0};

/// Every kind of outcome, with attempts left or not, cancelled or not, overdue or not.
struct Row {
  Outcome outcome;
  Decision plain, last, overdue;  ///< where nobody cancelled it
};

TEST(Decide, EveryOutcomeInEveryState) {
  const Decision dead{Action::dead};
  const std::vector<Row> table{
      {Outcome::done("1"), {Action::done}, {Action::done}, {Action::done}},
      {Outcome::failed("x"), {Action::later, 2s}, dead, dead},
      {Outcome::retry(7s, "x"), {Action::later, 7s}, dead, dead},
      {Outcome::snoozed(7s), {Action::later_uncounted, 7s}, {Action::later_uncounted, 7s}, dead},
      {Outcome::discarded("x"), dead, dead, dead},
      {Outcome::returned(), {Action::back}, {Action::back}, {Action::back}},
      {Outcome(), {Action::back}, {Action::back}, {Action::back}},
  };
  for (const Row& row : table) {
    const auto kind = static_cast<int>(row.outcome.kind());
    const auto decision = [&](int attempt, bool cancelled, bool overdue) {
      return decide(row.outcome, attempt, 3, cancelled, overdue, kBackoff, 0.5);
    };
    EXPECT_EQ(decision(2, false, false), row.plain) << kind;
    EXPECT_EQ(decision(3, false, false), row.last) << kind;
    EXPECT_EQ(decision(4, false, false), row.last) << kind << ", with max_attempts lowered";
    EXPECT_EQ(decision(2, false, true), row.overdue) << kind;
    EXPECT_EQ(decision(3, false, true), row.overdue) << kind;
    const Decision cancelled{row.outcome.is_done() ? Action::done : Action::cancelled};
    for (const int attempt : {1, 3})
      for (const bool overdue : {false, true}) EXPECT_EQ(decision(attempt, true, overdue), cancelled) << kind;
  }
}

TEST(Decide, WhatIsNotTriedAgainHasEnded) {
  for (const Action action : {Action::later, Action::later_uncounted, Action::back})
    EXPECT_TRUE(work::is_tried_again(action)) << to_string(action);
  for (const Action action : {Action::done, Action::cancelled, Action::dead})
    EXPECT_FALSE(work::is_tried_again(action)) << to_string(action);
}

TEST(Decide, TheBackoffGrowsUpToItsCap) {
  for (const auto& [attempt, delay] : {std::pair{1, 1s}, {2, 2s}, {3, 4s}, {5, 10s}, {30000, 10s}}) {
    EXPECT_EQ(decide(Outcome::failed(""), attempt, 32767, false, false, kBackoff, 0.5).delay, delay);
  }
}

TEST(Kinds, AFunctionThatThrowsAnythingFailsItsOwnJobAlone) {
  const Kinds::Functions functions{
      {"good", [](const JobContext&) { return Outcome::done(); }},
      {"bad", [](const JobContext&) -> Outcome { throw std::runtime_error("bad luck"); }},
      {"odd", [](const JobContext&) -> Outcome { throw 42; }},
      {"empty", [](const JobContext&) { return Outcome(); }}};
  const std::vector<work::Item> items{{.id = 1, .kind = "odd"},
                                      {.id = 2, .kind = "bad"},
                                      {.id = 3, .kind = "unknown"},
                                      {.id = 4, .kind = "empty"},
                                      {.id = 5, .kind = "good"}};
  work::Batch batch(items, {});
  Kinds(functions).run(batch);
  EXPECT_EQ(batch.outcomes()[0].kind(), Outcome::Kind::failed);
  EXPECT_EQ(batch.outcomes()[1].text(), "bad luck");
  EXPECT_EQ(batch.outcomes()[2].kind(), Outcome::Kind::discarded);
  EXPECT_TRUE(batch.outcomes()[3].is_open());
  EXPECT_TRUE(batch.outcomes()[4].is_done());
}

}  // namespace
}  // namespace weir::queue
