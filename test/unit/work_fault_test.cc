// Whose fault an error is, and what is done about it.
#include <gtest/gtest.h>

#include "work/fault.h"

namespace weir::work {
namespace {

TEST(WorkFault, AStateTellsWhoseItIsOrThatItDoesNot) {
  for (const char* const state : {"", "22P02", "23505", "42P01", "42501", "57014", "0A000", "55006", "P0001"})
    EXPECT_EQ(fault_of(state), Fault::item) << state;
  for (const char* const state :
       {"08006", "08001", "53400", "57P01", "57P05", "58P01", "F0000", "XX000", "XX001", "XX002", "25P02"})
    EXPECT_EQ(fault_of(state), Fault::unclear) << state;
  for (const char* const state :
       {"40001", "40P01", "53100", "53200", "53300", "55P03", "58030", "72000", "25006"})
    EXPECT_EQ(fault_of(state), Fault::nobody) << state;
}

using pg::ErrorKind;

TEST(WorkFault, WhatOurOwnSideOfASessionFindsIsAnItemsAtOnce) {
  for (const ErrorKind kind : {ErrorKind::decode, ErrorKind::misuse, ErrorKind::server}) {
    EXPECT_EQ(blame_for({.kind = kind, .alone = true}), Blame::item) << to_string(kind);
    EXPECT_EQ(blame_for({.kind = kind}), Blame::divide) << to_string(kind);
  }
}

TEST(WorkFault, AnotherConnectionThatIsLostCountsTheSecondTimeWhateverItSaid) {
  for (const ErrorKind kind : {ErrorKind::connect, ErrorKind::lost, ErrorKind::in_doubt, ErrorKind::deadline,
                               ErrorKind::stopped, ErrorKind::exhausted}) {
    for (const char* const state : {"", "57P01", "57P02", "57P03", "53300", "28P01"}) {
      EXPECT_EQ(blame_for({.kind = kind, .sqlstate = state}), Blame::divide) << to_string(kind) << state;
      EXPECT_EQ(blame_for({.kind = kind, .sqlstate = state, .alone = true}), Blame::again)
          << to_string(kind) << state;
      EXPECT_EQ(blame_for({.kind = kind, .sqlstate = state, .alone = true, .times = 2}), Blame::item)
          << to_string(kind) << state;
    }
    EXPECT_EQ(blame_for({.kind = kind, .session_lives = false, .alone = true, .times = 9}), Blame::nobody);
    EXPECT_EQ(blame_for({.kind = kind, .stopping = true, .alone = true, .times = 9}), Blame::nobody);
  }
}

TEST(WorkFault, AConflictThatIsKnownByItsKindIsNobodys) {
  EXPECT_EQ(blame_for({.kind = ErrorKind::retryable, .sqlstate = "40001", .alone = true}), Blame::nobody);
  EXPECT_EQ(blame_for({.kind = ErrorKind::lock_timeout, .sqlstate = "55P03", .alone = true}), Blame::nobody);
  EXPECT_EQ(blame_for({.kind = ErrorKind::cancelled, .sqlstate = "57014", .alone = true}), Blame::item);
}

TEST(WorkFault, WhatComesAgainWithAnItemIsItsOwnAtOnce) {
  EXPECT_EQ(blame_for({.sqlstate = "23505", .alone = true}), Blame::item);
  EXPECT_EQ(blame_for({.sqlstate = "23505"}), Blame::divide);
}

TEST(WorkFault, WhatLooksLikeTheServersIsAnItemsWhenItComesTwiceWithItAlone) {
  for (const char* const state : {"XX000", "08006", "57P01", "53400", "25P02"}) {
    EXPECT_EQ(blame_for({.sqlstate = state}), Blame::divide) << state;
    EXPECT_EQ(blame_for({.sqlstate = state, .alone = true}), Blame::again) << state;
    EXPECT_EQ(blame_for({.sqlstate = state, .alone = true, .times = 2}), Blame::item) << state;
  }
}

TEST(WorkFault, NoItemPaysForALostSessionAStopOrWhatPasses) {
  for (const char* const state : {"XX000", "08006", "23505", "57P01", ""}) {
    EXPECT_EQ(blame_for({.sqlstate = state, .session_lives = false, .alone = true, .times = 9}),
              Blame::nobody)
        << state;
    EXPECT_EQ(blame_for({.sqlstate = state, .stopping = true, .alone = true, .times = 9}), Blame::nobody)
        << state;
  }
  for (const char* const state : {"40001", "53100", "55P03", "25006"})
    EXPECT_EQ(blame_for({.sqlstate = state, .alone = true, .times = 9}), Blame::nobody) << state;
}

}  // namespace
}  // namespace weir::work
