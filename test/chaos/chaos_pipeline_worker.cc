// A process on pipelines for pipeline_chaos_test.cc: this program again, told what to do by its environment.
// One that schedules is a worker as users have it; one that only works makes no runs and does no chores.

#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "base/stop_signals.h"
#include "base/wait.h"
#include "cli/project/project.h"
#include "pipeline/run/task_handler.h"
#include "pipeline/run/worker.h"
#include "work/work_connector.h"

namespace weir::pipeline {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSlots = 3;
constexpr Duration kLease = 1s;
constexpr Duration kLongestSleep = 2s;

/// Tasks without what else there is to do about pipelines. Rescue stays: whoever declares a process dead owes
/// it.
class OnlyWorks final : public work::ClaimSource {
 public:
  explicit OnlyWorks(TaskSource& tasks) : tasks_(tasks) {
    tasks_.on_claim_soon([this] { claim_soon(); });
    tasks_.on_keep_soon([this] { keep_soon(); });
  }
  [[nodiscard]] std::string_view name() const noexcept override { return tasks_.name(); }
  [[nodiscard]] std::vector<std::string> topics() const override { return tasks_.topics(); }
  std::shared_ptr<work::Claim> claim(pg::Session& session, const work::Life& life, std::size_t wanted,
                                     bool thorough) override {
    return tasks_.claim(session, life, wanted, thorough);
  }
  void resolve(pg::Session& session, const work::Life& life) override { tasks_.resolve(session, life); }
  [[nodiscard]] std::optional<Duration> next_look() const override { return tasks_.next_look(); }
  bool has_more(pg::Session& session) override { return tasks_.has_more(session); }
  std::size_t settle(pg::Session& session, const work::Life& life, std::vector<work::Settlement>& pending,
                     bool all) override {
    return tasks_.settle(session, life, pending, all);
  }
  void drop(const work::Settlement& settlement) noexcept override { tasks_.drop(settlement); }
  std::vector<std::int64_t> cancelled(pg::Session& session, const work::Life& life) override {
    return tasks_.cancelled(session, life);
  }
  void rescue(pg::Session& session) override { tasks_.rescue(session); }
  Duration keep(pg::Session& /*session*/, const work::Life& /*life*/) override { return 5s; }

 private:
  TaskSource& tasks_;
};

/// Worker, but for the source.
class PlainWorker {
 public:
  explicit PlainWorker(Surroundings at) : at_(std::move(at)) {}
  void start() {
    pg::Connector::Options own = at_.connector->options();
    own.users_search_path = false;
    const work::WorkConnector connector =
        work::connector_for_work(std::make_shared<const pg::Connector>(at_.connector->conninfo(), own));
    pg::Session session = connector.connector->connect(pg::Role::api, "start");
    tasks_ = std::make_unique<TaskSource>(definitions_, in_flight_, session);
    session.close();
    source_ = std::make_unique<OnlyWorks>(*tasks_);
    process_ = std::make_unique<work::Process>(
        connector.connector, work::Process::Options{.name = work::process_name(), .lease = kLease});
    process_->start();
    const auto handler = [this] {
      return std::make_unique<TaskHandler>(at_, definitions_, in_flight_,
                                           [this] { tasks_->successors_ready(); });
    };
    runtime_ = std::make_unique<work::Runtime>(connector.connector, *process_, *source_, handler,
                                               work::RuntimeOptions{.slots = kSlots,
                                                                    .longest_sleep = kLongestSleep,
                                                                    .can_be_woken = connector.can_be_woken,
                                                                    .most_in_batch = 1,
                                                                    .prefetch = false});
    try {
      runtime_->start();
    } catch (...) {
      runtime_.reset();
      process_->stop();
      throw;
    }
  }
  void stop() {
    if (runtime_) runtime_->stop();
    if (process_) process_->stop();
  }

 private:
  const Surroundings at_;
  Definitions definitions_;
  TasksInFlight in_flight_;
  std::unique_ptr<TaskSource> tasks_;
  std::unique_ptr<OnlyWorks> source_;
  std::unique_ptr<work::Process> process_;
  std::unique_ptr<work::Runtime> runtime_;
};

/// Until SIGTERM. Whoever is started while the server is away tries again.
template <class AnyWorker>
void work(AnyWorker& worker, const std::stop_token& stop) {
  Wakeup unused;
  for (bool started = false; !started && !stop.stop_requested();) {
    try {
      worker.start();
      started = true;
    } catch (const std::exception& error) {
      fmt::print("not started: {}\n", error.what());
      wait_fd(-1, 0, Deadline::after(100ms), stop, unused);
    }
  }
  wait_fd(-1, 0, Deadline::never(), stop, unused);
  worker.stop();
}

TEST(ChaosPipelineWorker, DISABLED_Run) {
  const StopSignals signals;
  // With what reads the words of loads.
  Surroundings at = cli::task_surroundings(pg::Conninfo::parse(std::getenv("WEIR_CHAOS_URL")), {},
                                           std::getenv("WEIR_CHAOS_PROJECT"));
  if (std::string_view(std::getenv("WEIR_CHAOS_ROLE")) == "works") {
    PlainWorker worker(std::move(at));
    work(worker, signals.token());
  } else {
    Worker worker(std::move(at), {.slots = kSlots, .lease = kLease, .longest_sleep = kLongestSleep});
    work(worker, signals.token());
  }
  EXPECT_TRUE(signals.token().stop_requested());
}

}  // namespace
}  // namespace weir::pipeline
