#include "queue/worker.h"

#include <condition_variable>

#include <weir/worker.h>

#include "base/error.h"
#include "base/mutex.h"
#include "library/job.h"
#include "schema/schema_check.h"

namespace weir {
namespace {

std::shared_ptr<const pg::Connector> connector_of(std::string_view url, Delivery delivery) {
  // In a job's transaction the handler's statements run on the runtime's own sessions.
  return std::make_shared<const pg::Connector>(
      pg::Conninfo::parse(url),
      pg::Connector::Options{.users_search_path = delivery == Delivery::transactional});
}

queue::WorkerOptions options_of(const WorkerOptions& options) {
  const bool transactional = options.delivery == Delivery::transactional;
  return {.queues = options.queues,
          .slots = options.slots,
          .lease = options.lease,
          .drain = options.drain,
          .once = options.once,
          .delivery = transactional ? queue::Delivery::transactional : queue::Delivery::leased};
}

void check(const WorkerOptions& options) {
  if (options.slots == 0) throw Error(ExitCode::usage, "a worker needs at least one slot");
  if (options.lease < std::chrono::seconds(1))
    throw Error(ExitCode::usage, "a worker's lease must be at least a second");
}

}  // namespace

struct Worker::State {
  State(std::string_view url, const WorkerOptions& options)
      : connector(connector_of(url, options.delivery)),
        progress(connector),
        worker(
            connector, [this] { return std::make_unique<queue::Kinds>(functions); }, options_of(options)) {}

  std::shared_ptr<const pg::Connector> connector;
  queue::Kinds::Functions functions;
  queue::ProgressReports progress;
  queue::Worker worker;

  Mutex mutex;
  std::condition_variable_any changed;
  bool started WEIR_GUARDED_BY(mutex) = false;
  int waiting WEIR_GUARDED_BY(mutex) = 0;  ///< threads in run()
  std::stop_source ended WEIR_GUARDED_BY(mutex);
};

Worker::Worker(std::string_view url, const WorkerOptions& options) {
  check(options);
  state_ = std::make_unique<State>(url, options);
}

Worker::~Worker() { stop(); }

Worker& Worker::on_kind(std::string kind, Function function) {
  const MutexLock lock(state_->mutex);
  if (state_->started) throw Error(ExitCode::usage, "a worker's handlers are set before it is started");
  state_->functions[std::move(kind)] = [function = std::move(function),
                                        state = state_.get()](const queue::JobContext& context) {
    return call_handler(function, context, state->progress);
  };
  return *this;
}

void Worker::start() {
  const MutexLock lock(state_->mutex);
  if (state_->started) return;
  {
    pg::Session session = state_->connector->connect(pg::Role::api, "start");
    schema::require_schema(session);
  }
  state_->progress.start();
  try {
    state_->worker.start();
  } catch (...) {
    state_->progress.stop();
    throw;
  }
  state_->ended = std::stop_source();
  state_->started = true;
}

void Worker::stop() noexcept {
  MutexLock lock(state_->mutex);
  if (!state_->started) return;
  state_->ended.request_stop();
  // What run() waits for goes with the worker.
  while (state_->waiting > 0) state_->changed.wait(lock);
  state_->worker.stop();
  state_->progress.stop();
  state_->started = false;
}

void Worker::run(const std::stop_token& stop) {
  start();
  std::stop_source ended;
  {
    const MutexLock lock(state_->mutex);
    if (!state_->started) return;
    ended = state_->ended;
    ++state_->waiting;
  }
  {
    const std::stop_callback pass_on(stop, [&ended] { ended.request_stop(); });
    state_->worker.wait_until_finished(ended.get_token());
  }
  {
    const MutexLock lock(state_->mutex);
    --state_->waiting;
    state_->changed.notify_all();
  }
  this->stop();
}

}  // namespace weir
