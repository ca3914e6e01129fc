// What is started, waited for and stopped by any thread.

#include <stdexcept>

#include <gtest/gtest.h>

#include "library/running.h"

namespace weir {
namespace {

TEST(Running, AWaitThatThrowsHoldsUpNobodyWhoStops) {
  int stops = 0;
  {
    Running running({.start = [] {},
                     .wait = [](const std::stop_token&) { throw std::runtime_error("no wait"); },
                     .stop = [&] { ++stops; }});
    EXPECT_THROW(running.run({}), std::runtime_error);
    EXPECT_FALSE(running.started());
    EXPECT_EQ(stops, 1);
    running.start();
    running.stop();
    EXPECT_EQ(stops, 2);
  }
  EXPECT_EQ(stops, 2);
}

}  // namespace
}  // namespace weir
