#include "pipeline/demo/stage.h"

#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#include "base/mutex.h"
#include "base/wait.h"
#include "pipeline/run/deploy.h"
#include "schema/migrator.h"
#include "schema/queries/pipelines.h"
#include "schema/queries/tasks.h"

namespace weir::pipeline::demo {
namespace {

constexpr Duration kFrameEvery = std::chrono::milliseconds(200);
constexpr Duration kAskEvery = std::chrono::milliseconds(20);

std::shared_ptr<const pg::Connector> connector_to(const pg::ScratchDatabase& database) {
  pg::Connector::Options options;
  options.users_search_path = true;
  return std::make_shared<const pg::Connector>(database.conninfo(), options);
}

}  // namespace

Stage::Stage(const pg::Conninfo& server, const SchedulerDemoOptions& options)
    : options_(options), database_(server, "weir_demo", options.stop), connector_(connector_to(database_)) {
  pg::Session session = connect();
  schema::migrate(session);
  session.execute("CREATE SCHEMA demo");
}

pg::Session Stage::connect() const {
  pg::Session session = connector_->connect(pg::Role::api, "demo", {.stop = stop()});
  session.set_stop(stop());
  return session;
}

void Stage::deploy(std::vector<PipelineDefinition> pipelines) {
  pg::Session session = connect();
  pipeline::deploy(session, {.name = "demo", .pipelines = std::move(pipelines)});
}

std::int64_t Stage::start_runs(const std::string& pipeline, std::int64_t runs) {
  pg::Session session = connect();
  const auto found = session.run<sql::FindPipeline>(pipeline);
  const std::int32_t id = found.one().id;
  const pg::Result made = session.execute(
      "SELECT max(weir.create_run($1, 'manual', clock_timestamp() + n * interval '1 us', clock_timestamp(), "
      "clock_timestamp(), '{}')) FROM generate_series(1, $2::int8) n",
      id, runs);
  session.run<sql::StartRuns>(id);
  return made[0].get<std::int64_t>(0);
}

std::unique_ptr<Worker> Stage::worker(std::size_t slots) const {
  auto worker = std::make_unique<Worker>(Surroundings{.connector = connector_, .project = "/"},
                                         WorkerOptions{.slots = slots});
  worker->start();
  return worker;
}

void Stage::wait_until(const std::function<bool()>& state, const std::function<void()>& look) const {
  Wakeup unused;
  Deadline frame = Deadline::after(kFrameEvery);
  while (!state()) {
    if (frame.expired()) {
      look();
      frame = Deadline::after(kFrameEvery);
    }
    if (wait_fd(-1, 0, Deadline::after(kAskEvery), stop(), unused) == WaitEnd::stopped)
      throw Error(ExitCode::interrupted, "the demo was interrupted");
  }
}

PipelineDefinition independent_tasks(std::string name, std::vector<TaskDefinition> tasks) {
  return {.name = std::move(name), .file = {}, .tasks = std::move(tasks), .max_active_runs = 1'000'000};
}

void run_crew(int threads, const std::function<void(int)>& work, const std::function<void()>& look) {
  Mutex mutex;
  std::exception_ptr failure;
  std::atomic<int> left{threads};
  Wakeup ended;
  {
    std::vector<std::jthread> crew;
    crew.reserve(static_cast<std::size_t>(threads));
    for (int i = 0; i < threads; ++i) {
      crew.emplace_back([&, i] {
        try {
          work(i);
        } catch (...) {
          const MutexLock lock(mutex);
          if (!failure) failure = std::current_exception();
        }
        --left;
        ended.notify();
      });
    }
    while (left > 0) {
      wait_fd(-1, 0, Deadline::after(kFrameEvery), {}, ended);
      ended.drain();
      if (left > 0) look();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace weir::pipeline::demo
