#include "support/group_test.h"

#include <utility>

#include "support/waiting.h"

namespace weir::test {
namespace {

class FunctionSink final : public group::Sink {
 public:
  FunctionSink(Place place,
               std::function<work::Outcome(const group::Batch&, const group::Application&)> apply)
      : place_(place), apply_(std::move(apply)) {}

  [[nodiscard]] Place place() const noexcept override { return place_; }
  work::Outcome apply(const group::Batch& batch, const group::Application& application) override {
    return apply_(batch, application);
  }

 private:
  Place place_;
  std::function<work::Outcome(const group::Batch&, const group::Application&)> apply_;
};

}  // namespace

bool Gate::pass(const std::stop_token& stop) {
  MutexLock lock(mutex_);
  ++arrivals_;
  changed_.notify_all();
  return changed_.wait(lock, stop, [&]() WEIR_REQUIRES(mutex_) { return open_; });
}

void Gate::open() {
  const MutexLock lock(mutex_);
  open_ = true;
  changed_.notify_all();
}

void Gate::wait_for(int arrivals) {
  MutexLock lock(mutex_);
  const auto came = [&]() WEIR_REQUIRES(mutex_) { return arrivals_ >= arrivals; };
  if (!changed_.wait_until(lock, Deadline::after(std::chrono::seconds(20)).at(), came))
    throw std::runtime_error("waited in vain at a gate");
}

void GroupTest::SetUp() {
  SchemaTest::SetUp();
  one_.emplace(session());
  set_feed("backoff_ms = 0");
  one_->execute(
      "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, sink text, tenant text, key text, run_id "
      "bigint, idx int, attempt int)");
}

void GroupTest::TearDown() {
  one_.reset();
  SchemaTest::TearDown();
}

group::SinkDefinition GroupTest::add_sink(const std::string& name, std::optional<std::string> after) {
  return group::add_sink(*one_, {.feed = "default", .name = name, .after = std::move(after)});
}

void GroupTest::set_feed(const std::string& assignments) {
  one_->execute("UPDATE weir.feed SET " + assignments);
}

std::string GroupTest::submit(const group::GroupKey& group, const Submission& batch) {
  return one_
      ->execute(
          "SELECT weir.submit_batch($1, $2, $3::jsonb, run => $4, idx => $5, final => $6, supersede => $7)",
          group.tenant, group.key, batch.payload, batch.run, batch.idx, batch.final, batch.supersede)[0]
      .get<std::string>(0);
}

void GroupTest::submit_run(const group::GroupKey& group, const std::string& run, int batches) {
  for (int i = 0; i < batches; ++i) submit(group, {.run = run, .idx = i, .final = i + 1 == batches});
}

std::int64_t GroupTest::number(const std::string& sql) {
  return one_->execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
}

std::string GroupTest::text(const std::string& sql) {
  return one_->execute("SELECT coalesce((" + sql + ")::text, '')")[0].get<std::string>(0);
}

std::string GroupTest::history(const std::string& sink) {
  return text(
      "SELECT string_agg(a.idx || '/' || a.attempt || ' ' || a.outcome, ', ' ORDER BY a.ended_at, a.idx) "
      "FROM "
      "weir.batch_attempt a JOIN weir.feed_sink k ON k.id = a.sink_id WHERE k.name = '" +
      sink + "'");
}

std::string GroupTest::effects(const std::string& sink) {
  return text("SELECT string_agg(idx::text, ' ' ORDER BY id) FROM effect WHERE sink = '" + sink + "'");
}

group::SinkFactory GroupTest::inside(Function function) {
  return [function = std::move(function)] {
    return std::make_unique<FunctionSink>(group::Sink::Place::inside, function);
  };
}

group::SinkFactory GroupTest::outside(Function function) {
  return [function = std::move(function)] {
    return std::make_unique<FunctionSink>(group::Sink::Place::outside, function);
  };
}

work::Outcome GroupTest::affect(pg::Session& session, const std::string& sink, const group::Batch& batch) {
  session.execute(
      "INSERT INTO public.effect (sink, tenant, key, run_id, idx, attempt) VALUES ($1, $2, $3, $4, $5, $6)",
      sink, batch.group.tenant, batch.group.key, batch.run_id, batch.idx, batch.attempt);
  return work::Outcome::done();
}

group::SinkFactory GroupTest::inside_effect(const std::string& sink) {
  return inside([sink](const group::Batch& batch, const group::Application& application) {
    return affect(*application.session, sink, batch);
  });
}

group::SinkFactory GroupTest::outside_effect(const std::string& sink) {
  return outside([connector = shared_connector(), sink](const group::Batch& batch,
                                                        const group::Application& application) {
    pg::Session session = connector->connect(pg::Role::api, "effect");
    application.verify();
    return affect(session, sink, batch);
  });
}

std::unique_ptr<group::Consumer> GroupTest::consumer(group::ConsumerOptions options,
                                                     group::SinkFactory sinks) {
  return std::make_unique<group::Consumer>(shared_connector(), std::move(sinks), std::move(options));
}

void GroupTest::work_off(group::Consumer& consumer) {
  consumer.start();
  const WaitEnd end = wait_fd(-1, 0, Deadline::after(std::chrono::seconds(20)), {}, consumer.finished());
  EXPECT_EQ(end, WaitEnd::woken) << "work is left";
  consumer.stop();
}

void GroupTest::work_off(group::ConsumerOptions options, group::SinkFactory sinks) {
  options.once = true;
  const auto consumer = this->consumer(std::move(options), std::move(sinks));
  work_off(*consumer);
}

group::GroupConnection GroupTest::connection() const {
  return group::GroupConnection::open(connector(), "test", {});
}

std::size_t GroupTest::recover(const group::SinkDefinition& sink) {
  return static_cast<std::size_t>(
      group::RecoveryConnection::open(connector(), "test", {}).recover(sink).groups);
}

std::vector<int> GroupTest::backends(const std::string& name) {
  std::vector<int> pids;
  const auto rows = one_->execute(
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, "
      "$1) ORDER BY pid",
      name);
  for (const auto row : rows) pids.push_back(row.get<std::int32_t>(0));
  return pids;
}

void GroupTest::expire_leases() {
  one_->execute("UPDATE weir.group_hold SET expires_at = clock_timestamp() - interval '1 ms'");
}

}  // namespace weir::test
