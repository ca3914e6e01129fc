#include "queue/worker.h"

#include <algorithm>

#include <poll.h>

#include <fmt/ranges.h>

#include "base/log.h"
#include "base/text.h"
#include "queue/job_taker.h"
#include "work/work_connector.h"

namespace weir::queue {

Worker::Worker(std::shared_ptr<const pg::Connector> connector, work::HandlerFactory factory,
               WorkerOptions options)
    : connector_(std::move(connector)), factory_(std::move(factory)), options_(std::move(options)) {}

Worker::~Worker() { stop(); }

void Worker::start() {
  const MutexLock lock(mutex_);
  if (runtime() != nullptr) return;
  const work::WorkConnector at = work::connector_for_work(connector_);
  work_connector_ = at.connector;
  pg::Session session = at.connector->connect(pg::Role::api, "start");
  work::require_read_committed(session);
  const bool transactional = options_.delivery == Delivery::transactional;
  if (at.can_be_woken) work::require_connections(session, transactional ? options_.slots : 0);
  auto source = std::make_unique<JobSource>(options_.queues, session);
  session.close();
  if (transactional && !source->limited().empty()) {
    throw Error(
        ExitCode::usage,
        fmt::format("a queue with a limit cannot be worked on in transactional mode: {}",
                    printable(fmt::format("{}", fmt::join(source->limited(), ", ")))),
        "Its slots are counted by leases: take the limit off (weir queue set), work on it in leased mode, or "
        "name the queues that have none (--queue).");
  }
  work::RuntimeOptions options{.slots = options_.slots,
                               .drain = options_.drain,
                               .longest_sleep = options_.longest_sleep,
                               .can_be_woken = at.can_be_woken,
                               .once = options_.once,
                               .most_in_batch = options_.most_in_batch,
                               .patience = options_.patience,
                               .asleep = &asleep_};
  if (!at.can_be_woken)
    options.longest_sleep = std::min<Duration>(options.longest_sleep, std::chrono::seconds(1));
  process_ = std::make_unique<work::Process>(
      at.connector, work::Process::Options{.name = work::process_name(), .lease = options_.lease});
  process_->start();
  source_ = std::move(source);
  if (options_.delivery == Delivery::leased) {
    leased_ = std::make_unique<work::Runtime>(at.connector, *process_, *source_, factory_, options);
  } else {
    transactional_ = std::make_unique<work::TransactionRuntime>(
        at.connector, *process_, *source_,
        [this] { return std::make_unique<JobTaker>(*source_, factory_(), options_.most_in_batch); }, options);
  }
  try {
    runtime()->start();
  } catch (...) {
    leased_.reset();
    transactional_.reset();
    process_->stop();
    throw;
  }
}

Service* Worker::runtime() const noexcept {
  return leased_ ? static_cast<Service*>(leased_.get()) : transactional_.get();
}

Wakeup& Worker::finished() noexcept { return leased_ ? leased_->finished() : transactional_->finished(); }

void Worker::stop() noexcept {
  const MutexLock lock(mutex_);
  if (runtime() != nullptr) {
    runtime()->stop();
    report_counts();
  }
  if (process_) process_->stop();
  leased_.reset();
  transactional_.reset();
}

void Worker::report_counts() noexcept {
  try {
    // No waiting for a life that was lost: its counts are of no matter then.
    std::stop_source now;
    now.request_stop();
    const auto life = process_->life(now.get_token());
    if (!life) return;
    pg::Session session = work_connector_->connect(pg::Role::api, life->session_id(),
                                                   pg::Limit::within(std::chrono::seconds(5)));
    session.set_timeout(std::chrono::seconds(5));
    source_->counts().report(session, life->id());
  } catch (const std::exception& error) {
    log::warn("the last figures of the worker were not written", {{"error", error.what()}});
  }
}

bool Worker::wait_until_finished(const std::stop_token& stop, Deadline deadline) {
  Wakeup unused;
  return wait_fd(finished().fd(), POLLIN, deadline, stop, unused) == WaitEnd::ready;
}

Worker::Stats Worker::stats() const {
  Stats stats;
  if (!source_) return stats;
  for (const auto& [queue, counts] : source_->counts().all()) {
    if (!source_->works_on(queue)) continue;
    stats.done += counts.done;
    stats.failed += counts.failed;
    stats.dead += counts.dead;
  }
  if (leased_) {
    stats.refused = leased_->refused();
    stats.in_flight = leased_->in_flight();
  }
  return stats;
}

}  // namespace weir::queue
