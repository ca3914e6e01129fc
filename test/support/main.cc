#include <cstdlib>
#include <string_view>

#include <gmock/gmock.h>

#include "base/log.h"
#include "support/surroundings.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  ::testing::AddGlobalTestEnvironment(new weir::test::Surroundings);
  // What the code under test has to say, for who looks for the cause of a failure.
  const char* log = std::getenv("WEIR_TEST_LOG");
  const bool verbose = log != nullptr && std::string_view(log) == "debug";
  weir::log::configure({.level = verbose ? weir::log::Level::debug : weir::log::Level::error});
  // SIGPIPE stays as it is: libweir inside somebody else's program cannot count on its being ignored.
  return RUN_ALL_TESTS();
}
