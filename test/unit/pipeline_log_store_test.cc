// What Weir says itself in the log of a task.
#include <gtest/gtest.h>

#include "pipeline/run/log_store.h"

namespace weir::pipeline {
namespace {

TEST(PipelineLogStore, OfASecretOnlyItsNameIsSaid) {
  const TaskAttempt attempt{};
  LogStore log(attempt);
  log.keep("abc", "${env:A}");
  log.keep("abcdef", "${env:B}");
  log.keep("env", "${env:C}");
  EXPECT_EQ(log.without_secrets("abcdef abc env abcde"), "${env:B} ${env:A} ${env:C} ${env:A}de");
  log.keep("", "${env:EMPTY}");
  log.keep("5", "${env:PORT}");
  EXPECT_EQ(log.without_secrets("line 5 of 55"), "line 5 of 55");
}

}  // namespace
}  // namespace weir::pipeline
