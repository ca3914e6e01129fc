// A worker on queues with limits as a process of its own, for limit_chaos_test.cc: this program again, told
// what to do by its environment.

#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/stop_signals.h"
#include "chaos_process.h"
#include "pg/connector.h"
#include "queue/kinds.h"
#include "queue/worker.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

TEST(ChaosLimitedWorker, DISABLED_Run) {
  const StopSignals signals;
  const test::HistoryFile history(test::environment("WEIR_CHAOS_HISTORY"));
  const Kinds::Functions functions{
      {"", [&](const JobContext& context) {
         const work::Item& job = context.job;
         const std::string attempt = fmt::format("{} {} {} {}", job.source, job.id, job.attempt, ::getpid());
         // The payload is the key. tools/check-limits says what the lines mean.
         history.add(fmt::format("begin {} {} {}", test::wall_us(), attempt, job.payload));
         // Long enough for many of them to be hit in the middle.
         Wakeup unused;
         wait_fd(-1, 0, Deadline::after(1ms * (20 + job.id % 40)), context.stop, unused);
         history.add(fmt::format("end {} {}", test::wall_us(), attempt));
         if (context.stop.stop_requested()) return work::Outcome();
         return job.id % 50 == 0 && job.attempt == 1 ? work::Outcome::retry(1ms, "once more")
                                                     : work::Outcome::done();
       }}};
  const auto connector =
      std::make_shared<const pg::Connector>(pg::Conninfo::parse(test::environment("WEIR_CHAOS_URL")));
  Worker worker(connector, [&] { return std::make_unique<Kinds>(functions); },
                {.queues = {"capped", "rated"}, .slots = 3, .lease = 1s, .longest_sleep = 2s});
  test::serve(worker, signals.token());
}

}  // namespace
}  // namespace weir::queue
