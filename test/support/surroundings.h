#pragma once

#include <sys/types.h>

#include <gtest/gtest.h>

namespace weir::test {

/// Around all tests of the program. At its end nothing may be left: no session or database on the shared
/// server, which it stops then, and no child process.
class Surroundings : public ::testing::Environment {
 public:
  Surroundings();
  void TearDown() override;

 private:
  pid_t owner_;
};

}  // namespace weir::test
