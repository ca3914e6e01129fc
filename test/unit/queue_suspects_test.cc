// When the loss of a session is held against a job.
#include <gtest/gtest.h>

#include "queue/suspects.h"

namespace weir::queue {
namespace {

using Standing = Suspects::Standing;

TEST(Suspects, OnlyTheEndOfASessionWithASingleJobIsSuspicious) {
  EXPECT_TRUE(is_suspicious({.jobs = 1})) << "a process that crashed says nothing";
  EXPECT_TRUE(is_suspicious({.jobs = 1, .sqlstate = "57P01"}));
  EXPECT_TRUE(is_suspicious({.jobs = 1, .sqlstate = "25P03"}));
  EXPECT_FALSE(is_suspicious({.jobs = 2}));
  EXPECT_FALSE(is_suspicious({.jobs = 0}));
  EXPECT_FALSE(is_suspicious({.jobs = 1, .sqlstate = "57P02"})) << "another one crashed";
}

TEST(Suspects, AJobIsGuiltyAfterThreeLossesInARow) {
  Suspects suspects;
  EXPECT_FALSE(suspects.any());
  for (int loss = 1; loss < Suspects::kLosses; ++loss) {
    suspects.lost_with(7);
    EXPECT_EQ(suspects.of(7, 1), Standing::suspect) << loss;
  }
  suspects.lost_with(7);
  EXPECT_EQ(suspects.of(7, 1), Standing::guilty);
  EXPECT_EQ(suspects.of(8, 1), Standing::clear);
}

TEST(Suspects, AnyOtherEndClearsAJob) {
  Suspects suspects;
  suspects.lost_with(7);
  suspects.lost_with(7);
  suspects.cleared(7);
  EXPECT_FALSE(suspects.any());
  suspects.lost_with(7);
  EXPECT_EQ(suspects.of(7, 1), Standing::suspect);
}

TEST(Suspects, WhoWasChargedIsTriedAgainAndNeedsOneLossMore) {
  Suspects suspects;
  for (int loss = 0; loss < Suspects::kLosses; ++loss) suspects.lost_with(7);
  suspects.charged(7, false);
  EXPECT_EQ(suspects.of(7, 1), Standing::suspect);
  suspects.lost_with(7);
  EXPECT_EQ(suspects.of(7, 1), Standing::guilty);
  suspects.charged(8, false);
  EXPECT_EQ(suspects.of(8, 1), Standing::clear);
}

TEST(Suspects, WhoDiedOfItIsNotSuspectWhenItIsReplayed) {
  Suspects suspects;
  for (int loss = 0; loss < Suspects::kLosses; ++loss) suspects.lost_with(7);
  suspects.charged(7, true);
  EXPECT_FALSE(suspects.any());
  suspects.lost_with(7);
  EXPECT_EQ(suspects.of(7, 1), Standing::suspect);
}

TEST(Suspects, WhoRanOverPaysAtOnceAndIsNoMoreSuspectForIt) {
  Suspects suspects;
  suspects.ran_over(7, 1);
  EXPECT_EQ(suspects.of(7, 1), Standing::overdue);
  suspects.charged(7, false);
  EXPECT_FALSE(suspects.any());
  suspects.lost_with(7);
  suspects.ran_over(7, 1);
  EXPECT_EQ(suspects.of(7, 1), Standing::overdue);
  suspects.charged(7, false);
  EXPECT_EQ(suspects.of(7, 1), Standing::suspect);
  suspects.ran_over(7, 1);
  suspects.charged(7, true);
  EXPECT_FALSE(suspects.any());
}

TEST(Suspects, WhatRanOverSaysNothingOfAnotherAttempt) {
  Suspects suspects;
  suspects.ran_over(7, 1);
  EXPECT_EQ(suspects.of(7, 2), Standing::clear) << "another process has written the first one";
  suspects.ran_over_among_others(8);
  EXPECT_EQ(suspects.of(8, 1), Standing::suspect);
  suspects.cleared(7);
  suspects.cleared(8);
  EXPECT_FALSE(suspects.any());
}

TEST(Suspects, OnlyASessionThatEndedByItselfIsHeldAgainstAnybody) {
  const WallTime start{std::chrono::hours(1)};
  const auto at = [](WallTime started_at, std::int64_t life = 1, bool held = true) {
    return SessionOrigin{.server_started_at = started_at, .life = life, .life_is_held = held};
  };
  for (const char* const state : {"", "57P01", "25P03"}) {
    EXPECT_TRUE(ended_by_itself(state, at(start), at(start))) << state;
    EXPECT_FALSE(ended_by_itself(state, at(start), at(start + std::chrono::seconds(1)))) << "restarted";
    EXPECT_FALSE(ended_by_itself(state, at(start), at(start - std::chrono::hours(1)))) << "a standby";
  }
  EXPECT_FALSE(ended_by_itself("57P01", at(start), at(start, 2))) << "we were declared dead, and know it";
  EXPECT_FALSE(ended_by_itself("57P01", at(start), at(start, 1, false))) << "we do not know it yet";
  EXPECT_TRUE(ended_by_itself("", at(start), at(start, 2))) << "a crash, and a recovery that took long";
}

TEST(Suspects, WhereAllAreSuspectNobodyIs) {
  Suspects suspects;
  for (std::int64_t job = 0; job < 2 * static_cast<std::int64_t>(Suspects::kMost); ++job) {
    suspects.lost_with(job);
    suspects.lost_with(job);
  }
  EXPECT_EQ(suspects.of(0, 1), Standing::clear);
}

}  // namespace
}  // namespace weir::queue
