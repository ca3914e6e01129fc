#include "queue/worker.h"

#include <algorithm>

#include <poll.h>

#include "base/log.h"
#include "pg/pooler.h"

namespace weir::queue {

WorkConnector connector_for_work(std::shared_ptr<const pg::Connector> connector) {
  if (pg::detect_pooling(*connector) == pg::Pooling::none) return {std::move(connector), true};
  log::info(
      "a transaction pooler is in between: looking for work at intervals, because nobody can wake us through "
      "it");
  pg::Connector::Options options = connector->options();
  options.session.prepare = false;
  return {std::make_shared<pg::Connector>(connector->conninfo(), options), false};
}

Worker::Worker(std::shared_ptr<const pg::Connector> connector, work::HandlerFactory factory,
               WorkerOptions options)
    : connector_(std::move(connector)),
      factory_(std::move(factory)),
      options_(std::move(options)),
      process_(connector_, {.name = work::process_name(), .lease = options_.lease}) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  const MutexLock lock(mutex_);
  if (runtime_) return;
  WorkConnector at = connector_for_work(connector_);
  pg::Session session = at.connector->connect(pg::Role::api, "start");
  auto source = std::make_unique<JobSource>(options_.queues, session);
  session.close();
  auto runtime = std::make_unique<work::Runtime>(
      at.connector, process_, *source, factory_,
      work::RuntimeOptions{.slots = options_.slots,
                           .drain = options_.drain,
                           .longest_sleep = at.can_be_woken ? options_.longest_sleep
                                                            : std::min<Duration>(options_.longest_sleep,
                                                                                 std::chrono::seconds(1)),
                           .can_be_woken = at.can_be_woken,
                           .once = options_.once});
  process_.start();
  try {
    runtime->start();
  } catch (...) {
    process_.stop();
    throw;
  }
  source_ = std::move(source);
  runtime_ = std::move(runtime);
}

void Worker::stop() noexcept {
  const MutexLock lock(mutex_);
  if (runtime_) runtime_->stop();
  process_.stop();
  runtime_.reset();
}

void Worker::hurry() noexcept {
  if (runtime_) runtime_->hurry();
}

void Worker::wait_until_finished(const std::stop_token& stop) {
  Wakeup unused;
  wait_fd(runtime_->finished().fd(), POLLIN, Deadline::never(), stop, unused);
}

Worker::Stats Worker::stats() const {
  Stats stats;
  for (const auto& [queue, counts] : source_->counts().all()) {
    stats.done += counts.done;
    stats.failed += counts.failed;
    stats.dead += counts.dead;
  }
  if (runtime_) {
    stats.refused = runtime_->refused();
    stats.in_flight = runtime_->in_flight();
  }
  return stats;
}

}  // namespace weir::queue
