#include "queue/adopt_consumer.h"

#include <algorithm>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "pg/budget.h"
#include "queue/adopt_trigger.h"
#include "schema/server_info.h"
#include "work/work_connector.h"

namespace weir::queue {
namespace {

constexpr Duration kProgressEvery = std::chrono::milliseconds(500);

}  // namespace

AdoptConsumer::AdoptConsumer(std::shared_ptr<const pg::Connector> connector, const Adopted& adopted,
                             work::HandlerFactory handlers, AdoptConsumerOptions options)
    : shared_{.connector = std::move(connector),
              .adopted = adopted,
              .sql = AdoptSql(adopted),
              .retries = AdoptRetries(options.retries),
              .batch = options.batch,
              .once = options.once,
              .poll = options.poll,
              .waker = nullptr,
              .on_batch = {},
              .on_trouble = {},
              .on_sleep = [this] { sleeps.emit(1); }},
      handlers_(std::move(handlers)),
      options_(std::move(options)) {
  shared_.on_batch = [this](const AdoptBatchReport& report) {
    const MutexLock lock(mutex_);
    ++figures_.batches;
    figures_.done += report.done;
    figures_.failed += report.failed;
    figures_.given_up += report.given_up;
  };
  shared_.on_trouble = [this] {
    const MutexLock lock(mutex_);
    ++figures_.undone;
  };
}

AdoptFigures AdoptConsumer::run(const std::stop_token& stop) {
  begin_ = steady_now();
  const work::WorkConnector at = work::connector_for_work(shared_.connector, {.stop = stop});
  shared_.connector = at.connector;
  if (at.can_be_woken) {
    pg::Session session = at.connector->connect(pg::Role::task, "consume-start", {.stop = stop});
    const bool woken = !options_.once && has_wake_trigger(session, shared_.adopted.table_id);
    pg::Budget budget;
    if (woken) budget.lines.push_back({pg::Role::listen, 1});
    budget.lines.push_back({pg::Role::task, options_.workers});
    schema::require_budget(session, budget);
    if (woken) start_waker();
  }
  {
    std::vector<std::jthread> threads;
    {
      const MutexLock lock(mutex_);
      running_ = options_.workers;
    }
    const std::stop_callback on_stop(stop, [this] {
      soft_.request_stop();
      changed_.notify_all();
    });
    for (int number = 1; number <= options_.workers; ++number)
      threads.emplace_back([this, number] { work(number); });
    watch(stop);
  }
  const MutexLock lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  return figures_;
}

void AdoptConsumer::start_waker() {
  waker_ = std::make_unique<AdoptWaker>(shared_.connector, shared_.adopted.table_id,
                                        "consume-" + shared_.adopted.table);
  waker_->start();
  shared_.waker = waker_.get();
}

void AdoptConsumer::work(int number) noexcept {
  std::exception_ptr failure;
  try {
    AdoptWorker worker(shared_, fmt::format("consume-{}-{}", shared_.adopted.table, number), handlers_());
    worker.run(soft_.get_token(), hard_.get_token());
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const MutexLock lock(mutex_);
    --running_;
    if (failure && !failure_) failure_ = failure;
  }
  if (failure) soft_.request_stop();
  changed_.notify_all();
}

void AdoptConsumer::watch(const std::stop_token& stop) {
  Deadline drained = Deadline::never();
  for (;;) {
    {
      MutexLock lock(mutex_);
      SteadyTime next = steady_now() + kProgressEvery;
      if (!hard_.stop_requested()) next = std::min(next, drained.at());
      if (running_ > 0) changed_.wait_until(lock, next);
      if (running_ == 0) {
        finished_ = options_.once && !stop.stop_requested() && !failure_;
        figures_.elapsed = steady_now() - begin_;
        return;
      }
    }
    if (soft_.stop_requested() && drained.is_never()) drained = Deadline::after(options_.drain);
    if (drained.expired() && !hard_.stop_requested()) {
      log::warn("the drain time is over: batches that go on are broken off and undone",
                {{"table", shared_.adopted.label()}, {"drain", human_duration(options_.drain)}});
      hard_.request_stop();
    }
    if (options_.on_progress) options_.on_progress(figures());
  }
}

AdoptFigures AdoptConsumer::figures() const {
  const std::size_t held = shared_.retries.waiting();
  const MutexLock lock(mutex_);
  AdoptFigures answer = figures_;
  answer.waiting = held;
  answer.elapsed = steady_now() - begin_;
  return answer;
}

}  // namespace weir::queue
