#include "schema/queries/groups.h"

#include <poll.h>

#include <weir/groups.h>

#include "base/error.h"
#include "base/text.h"
#include "group/consumer.h"
#include "group/feed_lock.h"
#include "library/running.h"
#include "library/sql_state.h"
#include "queue/job_check.h"
#include "schema/schema_check.h"

namespace weir {

struct GroupBatch::State {
  const group::Batch& batch;
  const group::Application& application;
  std::optional<Sql> sql{};
};

namespace {

/// Whatever the user's code throws is told in words that can be stored.
template <class Work>
auto call(GroupBatch::State& state, Work work) {
  GroupBatch own(state);
  try {
    return work(own);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ExitCode::failed, storable_text(error.what()));
  } catch (...) {
    throw Error(ExitCode::failed, std::string(group::kNoException));
  }
}

/// The user's sink, and whatever it does an outcome that can be stored.
class ForeignSink final : public group::Sink {
 public:
  explicit ForeignSink(std::unique_ptr<GroupSink> sink) : sink_(std::move(sink)) {
    if (!sink_) throw Error(ExitCode::usage, "a group consumer's factory made no sink");
  }

  [[nodiscard]] Place place() const noexcept override {
    return sink_->place() == GroupSink::Place::inside ? Place::inside : Place::outside;
  }
  bool has(const group::Batch& batch, const group::Application& application) override {
    GroupBatch::State state{batch, application};
    return call(state, [&](GroupBatch& own) { return sink_->has(own); });
  }
  work::Outcome apply(const group::Batch& batch, const group::Application& application) override {
    GroupBatch::State state{batch, application};
    Outcome outcome = call(state, [&](GroupBatch& own) { return sink_->apply(own); });
    // It caught the error and went on, in a transaction that cannot commit any more.
    if (state.sql && !state.sql->state().failure.empty())
      return Outcome::failed("a statement of its transaction failed: " + state.sql->state().failure);
    if (outcome.is_open()) return Outcome::failed("the sink has not said what became of the batch");
    return outcome;
  }

 private:
  std::unique_ptr<GroupSink> sink_;
};

void check(const GroupConsumerOptions& options, const GroupConsumer::MakeSink& sinks) {
  const auto refuse = [](const char* what) { throw Error(ExitCode::usage, what); };
  if (options.feed.empty()) refuse("a group consumer needs the name of a feed");
  if (options.sink.empty()) refuse("a group consumer needs the name of a sink");
  if (options.concurrency == 0) refuse("a group consumer needs at least one slot");
  if (options.poll <= std::chrono::milliseconds::zero())
    refuse("a group consumer's pause between two looks is more than nothing");
  if (!sinks) refuse("a group consumer needs sinks");
}

std::optional<group::Ownership> ownership_of(GroupConsumerOptions::Ownership wanted) {
  switch (wanted) {
    case GroupConsumerOptions::Ownership::automatic: return std::nullopt;
    case GroupConsumerOptions::Ownership::lock: return group::Ownership::advisory;
    case GroupConsumerOptions::Ownership::lease: return group::Ownership::lease;
  }
  return std::nullopt;
}

group::ConsumerOptions options_of(const GroupConsumerOptions& options) {
  return {.feed = options.feed,
          .sink = options.sink,
          .concurrency = options.concurrency,
          .ownership = ownership_of(options.ownership),
          .poll = options.poll,
          .drain = options.drain,
          .once = options.once};
}

}  // namespace

std::string submit(Sql& transaction, const NewBatch& batch) {
  // A statement that fails would end the caller's transaction.
  if (const auto fault = queue::find_payload_fault(batch.payload))
    throw Error(ExitCode::usage, "the payload of a batch cannot be stored as jsonb: " + *fault);
  // A run's final batch says so; a batch without a run is one by itself.
  return transaction
      .execute("SELECT weir.submit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", batch.tenant, batch.key,
               batch.payload, batch.run, batch.index,
               batch.run ? std::optional<bool>(batch.final) : std::optional<bool>(), batch.feed, batch.rows,
               batch.bytes, batch.supersede)
      .text(0, 0);
}

std::string submit(Client& client, const NewBatch& batch) {
  Transaction transaction = client.begin();
  std::string id = submit(transaction, batch);
  transaction.commit();
  return id;
}

bool add_sink(Sql& transaction, const NewFeedSink& sink) {
  if (sink.name.empty()) throw Error(ExitCode::usage, "a feed's sink needs a name");
  pg::Session& session = *transaction.state().session;
  const auto rows = session.run<sql::SinkDefinition>(sink.feed, sink.name);
  if (rows.one().sink_id) return false;
  std::optional<std::int32_t> after;
  // Throws, and says what there is, where there is no such feed or no such sink of it.
  if (sink.after) after = group::find_sink(session, sink.feed, *sink.after).id;
  if (!rows.one().feed_id) static_cast<void>(group::find_sink(session, sink.feed, sink.name));
  std::optional<WallTime> from;
  if (sink.from) from = std::chrono::floor<std::chrono::microseconds>(*sink.from);
  session.run<sql::AddFeedSink>(*rows.one().feed_id, sink.name, after, from);
  return true;
}

bool add_sink(Client& client, const NewFeedSink& sink) {
  bool added = false;
  group::until_feed_is_free(sink.feed, {}, [&] {
    Transaction transaction = client.begin();
    added = add_sink(transaction, sink);
    transaction.commit();
  });
  return added;
}

std::string GroupBatch::id() const { return state_.batch.id(); }
std::string_view GroupBatch::tenant() const noexcept { return state_.batch.group.tenant; }
std::string_view GroupBatch::key() const noexcept { return state_.batch.group.key; }
std::string_view GroupBatch::run() const noexcept { return state_.batch.run; }
std::int64_t GroupBatch::run_id() const noexcept { return state_.batch.run_id; }
std::int32_t GroupBatch::index() const noexcept { return state_.batch.idx; }
bool GroupBatch::is_final() const noexcept { return state_.batch.final; }
std::string_view GroupBatch::payload() const noexcept { return state_.batch.payload; }
std::optional<std::int64_t> GroupBatch::rows() const noexcept { return state_.batch.rows; }
std::optional<std::int64_t> GroupBatch::bytes() const noexcept { return state_.batch.bytes; }
std::chrono::system_clock::time_point GroupBatch::created_at() const noexcept {
  return std::chrono::time_point_cast<std::chrono::system_clock::duration>(state_.batch.created_at);
}
int GroupBatch::attempt() const noexcept { return state_.batch.attempt; }
std::string_view GroupBatch::last_error() const noexcept { return state_.batch.error; }
const std::stop_token& GroupBatch::stop() const noexcept { return state_.application.stop; }

Sql& GroupBatch::transaction() {
  if (state_.application.session == nullptr) {
    throw Error(ExitCode::usage, "a sink outside has no transaction",
                "answer Place::inside, or use a client of its own");
  }
  if (!state_.sql) state_.sql.emplace(std::make_unique<Sql::State>(*state_.application.session));
  return *state_.sql;
}

void GroupBatch::verify() { state_.application.verify(); }

struct GroupConsumer::State {
  State(std::string_view url, const GroupConsumerOptions& options, MakeSink make)
      : sinks(std::move(make)),
        // The statements of sinks run on the groups' own sessions.
        connector(std::make_shared<const pg::Connector>(pg::Conninfo::parse(url),
                                                        pg::Connector::Options{.users_search_path = true})),
        consumer(
            connector, [this] { return std::make_unique<ForeignSink>(sinks()); }, options_of(options)) {}

  void start() {
    {
      pg::Session session = connector->unprepared().connect(pg::Role::api, "start");
      schema::require_schema(session);
    }
    consumer.start();
  }
  void wait(const std::stop_token& stop) {
    Wakeup unused;
    wait_fd(consumer.finished().fd(), POLLIN, Deadline::never(), stop, unused);
  }

  const MakeSink sinks;
  std::shared_ptr<const pg::Connector> connector;
  group::Consumer consumer;
  Running running{{.start = [this] { start(); },
                   .wait = [this](const std::stop_token& stop) { wait(stop); },
                   .stop = [this] { consumer.stop(); }}};
};

GroupConsumer::GroupConsumer(std::string_view url, const GroupConsumerOptions& options, MakeSink sinks) {
  check(options, sinks);
  state_ = std::make_unique<State>(url, options, std::move(sinks));
}

GroupConsumer::~GroupConsumer() = default;

void GroupConsumer::start() { state_->running.start(); }
void GroupConsumer::stop() noexcept { state_->running.stop(); }
void GroupConsumer::run(const std::stop_token& stop) { state_->running.run(stop); }

GroupConsumerCounts GroupConsumer::counts() const noexcept {
  const group::GroupCounts& counts = state_->consumer.counts();
  return {.succeeded = counts.succeeded,
          .retried = counts.retried,
          .failed = counts.failed,
          .lost = counts.lost,
          .skipped = counts.skipped};
}

}  // namespace weir
