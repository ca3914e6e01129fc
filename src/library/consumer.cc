#include "stream/consumer.h"

#include <weir/consumer.h>

#include "base/error.h"
#include "library/running.h"
#include "library/runtime_connector.h"
#include "library/sql_state.h"
#include "schema/schema_check.h"
#include "stream/handler_doer.h"

namespace weir {

struct Events::State {
  work::Batch& batch;
  std::optional<Sql> sql{};
};

namespace {

constexpr std::size_t kMostLanes = 256;

/// Calls the user's function for a batch.
class FunctionHandler final : public work::Handler {
 public:
  explicit FunctionHandler(const Consumer::Handler& function) : function_(function) {}

  void run(work::Batch& batch) override {
    Events::State state{batch};
    Events events(state);
    function_(events);
    // It caught the error and went on, in a transaction that cannot commit any more.
    if (state.sql && !state.sql->state().failure.empty()) {
      batch.settle_rest(
          Outcome::failed("a statement of its transaction failed: " + state.sql->state().failure));
    }
    if (!batch.stop().stop_requested()) batch.settle_rest(Outcome::done());
  }

 private:
  const Consumer::Handler& function_;
};

void check(const ConsumerOptions& options, const Consumer::Handler& handler) {
  const auto refuse = [](const char* what) { throw Error(ExitCode::usage, what); };
  if (options.stream.empty()) refuse("a consumer needs the name of a stream");
  if (options.group.empty()) refuse("a consumer needs the name of a group");
  if (options.workers == 0) refuse("a consumer needs at least one worker");
  if (options.batch == 0) refuse("a consumer's batch is at least one event");
  if (options.lease < std::chrono::seconds(1)) refuse("a consumer's lease must be at least a second");
  if (options.lanes > kMostLanes) refuse("a group has at most 256 lanes");
  if (options.lanes > 0 && !options.ordered) refuse("lanes are of a consumer that is ordered");
  if (!handler) refuse("a consumer needs a handler");
}

stream::ConsumerOptions options_of(const ConsumerOptions& options) {
  stream::ConsumerOptions ours{.stream = options.stream,
                               .group = options.group,
                               .workers = options.workers,
                               .batch = static_cast<std::int64_t>(options.batch),
                               .lease = options.lease,
                               .drain = options.drain,
                               .once = options.once,
                               .ordered = options.ordered};
  if (options.lanes > 0) ours.lanes = static_cast<std::int32_t>(options.lanes);
  if (options.from) ours.from = std::chrono::floor<std::chrono::microseconds>(*options.from);
  return ours;
}

}  // namespace

std::size_t Events::size() const noexcept { return state_.batch.items().size(); }

Event Events::operator[](std::size_t index) const noexcept {
  const work::Item& item = state_.batch.items()[index];
  return {.id = item.id,
          .key = item.kind,
          .payload = item.payload,
          .at = std::chrono::time_point_cast<std::chrono::system_clock::duration>(
              item.created_at.value_or(WallTime{})),
          .attempt = item.attempt};
}

void Events::settle(std::size_t index, Outcome outcome) { state_.batch.settle(index, std::move(outcome)); }
const std::stop_token& Events::stop() const noexcept { return state_.batch.stop(); }

Sql& Events::transaction() {
  if (state_.batch.session() == nullptr) {
    throw Error(
        ExitCode::usage, "leased events have no transaction",
        "make the consumer with .delivery = weir::Delivery::transactional, or use a client of its own");
  }
  if (!state_.sql) state_.sql.emplace(std::make_unique<Sql::State>(*state_.batch.session()));
  return *state_.sql;
}

struct Consumer::State {
  State(std::string_view url, const ConsumerOptions& options, Handler function)
      : handler(std::move(function)),
        connector(runtime_connector(url, options.delivery)),
        consumer(connector, work(options.delivery), options_of(options)) {}

  stream::Consumer::Work work(Delivery delivery) {
    const auto make = [this] { return std::make_unique<FunctionHandler>(handler); };
    stream::Consumer::Work work;
    if (delivery == Delivery::leased) {
      work.leased = make;
    } else {
      work.transactional = [make](const stream::GroupSource& source) {
        return std::make_unique<stream::HandlerDoer>(source.stream(), source.sql(), source.group(), make());
      };
    }
    return work;
  }
  void start() {
    {
      pg::Session session = connector->unprepared().connect(pg::Role::api, "start");
      schema::require_schema(session);
    }
    consumer.start();
  }

  const Handler handler;
  std::shared_ptr<const pg::Connector> connector;
  stream::Consumer consumer;
  Running running{{.start = [this] { start(); },
                   .wait = [this](const std::stop_token& stop) { consumer.wait_until_finished(stop); },
                   .stop = [this] { consumer.stop(); }}};
};

Consumer::Consumer(std::string_view url, const ConsumerOptions& options, Handler handler) {
  check(options, handler);
  state_ = std::make_unique<State>(url, options, std::move(handler));
}

Consumer::~Consumer() = default;

void Consumer::start() { state_->running.start(); }
void Consumer::stop() noexcept { state_->running.stop(); }
void Consumer::run(const std::stop_token& stop) { state_->running.run(stop); }

}  // namespace weir
