#include "pipeline/run/worker.h"

#include <algorithm>

#include <poll.h>

#include "pipeline/run/task_handler.h"
#include "work/work_connector.h"

namespace weir::pipeline {

Worker::Worker(Surroundings surroundings, WorkerOptions options)
    : given_(std::move(surroundings)), options_(options) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  const MutexLock lock(mutex_);
  if (runtime_) return;
  // Our own statements run under Weir's search_path; those of tasks have the users'.
  pg::Connector::Options own = given_.connector->options();
  own.users_search_path = false;
  const work::WorkConnector at =
      work::connector_for_work(std::make_shared<const pg::Connector>(given_.connector->conninfo(), own));
  surroundings_ = given_;
  if (!at.can_be_woken)
    surroundings_.connector = std::make_shared<const pg::Connector>(given_.connector->unprepared());
  pg::Session session = at.connector->connect(pg::Role::api, "start");
  work::require_read_committed(session);
  if (at.can_be_woken) work::require_connections(session, options_.slots);
  auto source = std::make_unique<TaskSource>(definitions_, in_flight_, session);
  session.close();
  work::RuntimeOptions options{.slots = options_.slots,
                               .drain = options_.drain,
                               .longest_sleep = options_.longest_sleep,
                               .can_be_woken = at.can_be_woken,
                               .once = options_.once,
                               .most_in_batch = 1,
                               .prefetch = false,
                               .asleep = &asleep_};
  if (!at.can_be_woken)
    options.longest_sleep = std::min<Duration>(options.longest_sleep, std::chrono::seconds(1));
  process_ = std::make_unique<work::Process>(
      at.connector, work::Process::Options{.name = work::process_name(), .lease = options_.lease});
  process_->start();
  alerts_ = std::make_unique<AlertSender>(at.connector, surroundings_.project, definitions_, options_.alerts);
  alerts_->start();
  source_ = std::move(source);
  source_->on_alerts_due([alerts = alerts_.get()] { alerts->poke(); });
  const auto handler = [this] {
    return std::make_unique<TaskHandler>(surroundings_, definitions_, in_flight_,
                                         [source = source_.get()] { source->successors_ready(); });
  };
  runtime_ = std::make_unique<work::Runtime>(at.connector, *process_, *source_, handler, options);
  try {
    runtime_->start();
  } catch (...) {
    runtime_.reset();
    alerts_->stop();
    process_->stop();
    throw;
  }
}

void Worker::stop() noexcept {
  const MutexLock lock(mutex_);
  if (runtime_) runtime_->stop();
  if (alerts_) alerts_->stop();
  if (process_) process_->stop();
  runtime_.reset();
}

bool Worker::wait_until_finished(const std::stop_token& stop, Deadline deadline) {
  Wakeup unused;
  return wait_fd(runtime_->finished().fd(), POLLIN, deadline, stop, unused) == WaitEnd::ready;
}

Worker::Stats Worker::stats() const {
  Stats stats;
  if (!source_) return stats;
  stats.done = source_->counts().done;
  stats.failed = source_->counts().failed;
  stats.retried = source_->counts().retried;
  if (runtime_) {
    stats.refused = runtime_->refused();
    stats.in_flight = runtime_->in_flight();
  }
  return stats;
}

}  // namespace weir::pipeline
