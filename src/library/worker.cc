#include "queue/worker.h"

#include <weir/worker.h>

#include "base/error.h"
#include "library/job.h"
#include "library/running.h"
#include "library/runtime_connector.h"
#include "schema/schema_check.h"

namespace weir {
namespace {

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
      : connector(runtime_connector(url, options.delivery)),
        progress(std::make_shared<const pg::Connector>(connector->unprepared())),
        worker(
            connector, [this] { return std::make_unique<queue::Kinds>(functions); }, options_of(options)) {}

  void start() {
    {
      pg::Session session = connector->unprepared().connect(pg::Role::api, "start");
      schema::require_schema(session);
    }
    progress.start();
    try {
      worker.start();
    } catch (...) {
      progress.stop();
      throw;
    }
  }
  void stop() {
    worker.stop();
    progress.stop();
  }

  std::shared_ptr<const pg::Connector> connector;
  queue::Kinds::Functions functions;
  queue::ProgressReports progress;
  queue::Worker worker;
  Running running{{.start = [this] { start(); },
                   .wait = [this](const std::stop_token& stop) { worker.wait_until_finished(stop); },
                   .stop = [this] { stop(); }}};
};

Worker::Worker(std::string_view url, const WorkerOptions& options) {
  check(options);
  state_ = std::make_unique<State>(url, options);
}

Worker::~Worker() = default;

Worker& Worker::on_kind(std::string kind, Function function) {
  if (state_->running.started())
    throw Error(ExitCode::usage, "a worker's handlers are set before it is started");
  state_->functions[std::move(kind)] = [function = std::move(function),
                                        state = state_.get()](const queue::JobContext& context) {
    return call_handler(function, context, state->progress);
  };
  return *this;
}

void Worker::start() { state_->running.start(); }
void Worker::stop() noexcept { state_->running.stop(); }
void Worker::run(const std::stop_token& stop) { state_->running.run(stop); }

}  // namespace weir
