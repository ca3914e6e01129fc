// A worker as a process of its own, for queue_chaos_test.cc: this program again, told what to do by its
// environment.

#include <array>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/stop_signals.h"
#include "base/unique_fd.h"
#include "pg/connector.h"
#include "queue/kinds.h"
#include "queue/worker.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

/// Lines of all workers in one file; each is one write, so that a death leaves it whole or out.
class History {
 public:
  explicit History(const std::string& path)
      : fd_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {}

  void add(const work::Item& job, const char* what) const {
    const std::string line = fmt::format("{} {} {} {}\n", job.id, job.attempt, ::getpid(), what);
    if (::write(fd_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::abort();
  }

 private:
  UniqueFd fd_;
};

TEST(ChaosWorker, DISABLED_Run) {
  const StopSignals signals;
  const History history(environment("WEIR_CHAOS_HISTORY"));
  const bool transactional = environment("WEIR_CHAOS_MODE") == "transactional";
  const Kinds::Functions functions{
      {"", [&](const JobContext& context) {
         history.add(context.job, "begin");
         // A little work, so that it can be hit in the middle.
         Wakeup unused;
         wait_fd(-1, 0, Deadline::after(std::chrono::microseconds(context.job.id % 7 * 500)), context.stop,
                 unused);
         if (context.stop.stop_requested()) return work::Outcome();
         if (context.session != nullptr) {
           context.session->execute("INSERT INTO public.effect (job, attempt) VALUES ($1, $2)",
                                    context.job.id, std::int32_t{context.job.attempt});
         }
         history.add(context.job, "end");
         return context.job.id % 50 == 0 && context.job.attempt == 1 ? work::Outcome::retry(1ms, "once more")
                                                                     : work::Outcome::done();
       }}};
  const auto connector =
      std::make_shared<const pg::Connector>(pg::Conninfo::parse(environment("WEIR_CHAOS_URL")));
  Worker worker(connector, [&] { return std::make_unique<Kinds>(functions); },
                {.queues = {environment("WEIR_CHAOS_MODE")},
                 .slots = 2,
                 .lease = 1s,
                 .longest_sleep = 2s,
                 .delivery = transactional ? Delivery::transactional : Delivery::leased});
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
}

}  // namespace
}  // namespace weir::queue
