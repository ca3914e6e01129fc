// A worker on pipelines as a process of its own, for pipeline_chaos_test.cc: this program again, told what to
// do by its environment.

#include <cstdlib>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/stop_signals.h"
#include "base/wait.h"
#include "pipeline/run/worker.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;

TEST(ChaosPipelineWorker, DISABLED_Run) {
  const StopSignals signals;
  pg::Connector::Options options;
  options.users_search_path = true;
  Surroundings at{.connector = std::make_shared<const pg::Connector>(
                      pg::Conninfo::parse(std::getenv("WEIR_CHAOS_URL")), options),
                  .project = std::getenv("WEIR_CHAOS_PROJECT")};
  Worker worker(std::move(at), {.slots = 3, .lease = 1s, .longest_sleep = 2s});
  // Whoever is started while the server is away tries again.
  for (bool started = false; !started && !signals.token().stop_requested();) {
    try {
      worker.start();
      started = true;
    } catch (const std::exception& error) {
      fmt::print("not started: {}\n", error.what());
      Wakeup unused;
      wait_fd(-1, 0, Deadline::after(100ms), signals.token(), unused);
    }
  }
  Wakeup unused;
  wait_fd(-1, 0, Deadline::never(), signals.token(), unused);
  worker.stop();
  EXPECT_TRUE(signals.token().stop_requested());
}

}  // namespace
}  // namespace weir::pipeline
