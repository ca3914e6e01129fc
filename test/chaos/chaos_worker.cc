// A worker as a process of its own, for queue_chaos_test.cc: this program again, told what to do by its
// environment.

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

void note(const test::HistoryFile& history, const work::Item& job, const char* what) {
  history.add(fmt::format("{} {} {} {}", job.id, job.attempt, ::getpid(), what));
}

TEST(ChaosWorker, DISABLED_Run) {
  const StopSignals signals;
  const test::HistoryFile history(test::environment("WEIR_CHAOS_HISTORY"));
  const bool transactional = test::environment("WEIR_CHAOS_MODE") == "transactional";
  const Kinds::Functions functions{
      {"", [&](const JobContext& context) {
         note(history, context.job, "begin");
         // A little work, so that it can be hit in the middle.
         Wakeup unused;
         wait_fd(-1, 0, Deadline::after(std::chrono::microseconds(context.job.id % 7 * 500)), context.stop,
                 unused);
         if (context.stop.stop_requested()) return work::Outcome();
         if (context.session != nullptr) {
           context.session->execute("INSERT INTO public.effect (job, attempt) VALUES ($1, $2)",
                                    context.job.id, std::int32_t{context.job.attempt});
         }
         note(history, context.job, "end");
         return context.job.id % 50 == 0 && context.job.attempt == 1 ? work::Outcome::retry(1ms, "once more")
                                                                     : work::Outcome::done();
       }}};
  const auto connector =
      std::make_shared<const pg::Connector>(pg::Conninfo::parse(test::environment("WEIR_CHAOS_URL")));
  Worker worker(connector, [&] { return std::make_unique<Kinds>(functions); },
                {.queues = {test::environment("WEIR_CHAOS_MODE")},
                 .slots = 2,
                 .lease = 1s,
                 .longest_sleep = 2s,
                 .delivery = transactional ? Delivery::transactional : Delivery::leased});
  test::serve(worker, signals.token());
}

}  // namespace
}  // namespace weir::queue
