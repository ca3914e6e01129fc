#include "group_scene.h"

#include <thread>

#include <poll.h>

#include <fmt/format.h>

#include "group/sink_definition.h"
#include "schema/migrator.h"

namespace weir::bench {
namespace {

class InsideSink final : public group::Sink {
 public:
  [[nodiscard]] Place place() const noexcept override { return Place::inside; }
  work::Outcome apply(const group::Batch& batch, const group::Application& application) override {
    application.session->execute("INSERT INTO public.effect (run_id, idx) VALUES ($1, $2)", batch.run_id,
                                 batch.idx);
    return work::Outcome::done();
  }
};

class OutsideSink final : public group::Sink {
 public:
  explicit OutsideSink(Duration pause) : pause_(pause) {}
  [[nodiscard]] Place place() const noexcept override { return Place::outside; }
  work::Outcome apply(const group::Batch& /*batch*/, const group::Application& application) override {
    if (pause_ == Duration::zero()) return work::Outcome::done();
    Wakeup unused;
    if (wait_fd(-1, 0, Deadline::after(pause_), application.stop, unused) == WaitEnd::stopped)
      return work::Outcome::returned();
    return work::Outcome::done();
  }

 private:
  Duration pause_;
};

}  // namespace

group::SinkFactory inside_sink() {
  return [] { return std::make_unique<InsideSink>(); };
}

group::SinkFactory outside_sink(Duration pause) {
  return [pause] { return std::make_unique<OutsideSink>(pause); };
}

GroupScene::GroupScene(Scene& plain) : plain_(plain), session_(plain.session()) {
  schema::migrate(session_);
  session_.execute("CREATE TABLE IF NOT EXISTS public.effect (run_id bigint NOT NULL, idx int NOT NULL)");
}

void GroupScene::make(const std::vector<std::string>& sinks, Duration lease) {
  session_.execute(
      "TRUNCATE weir.batch_run, weir.batch, weir.batch_step, weir.batch_turn, weir.group_hold, "
      "weir.batch_attempt, weir.feed_sink, weir.feed, public.effect");
  session_.execute("INSERT INTO weir.feed (name, lease_ms, backoff_ms) VALUES ($1, $2, 0)",
                   std::string(kFeed), std::chrono::duration_cast<std::chrono::milliseconds>(lease).count());
  for (const std::string& sink : sinks) group::add_sink(session_, {.feed = std::string(kFeed), .name = sink});
}

void GroupScene::submit(const std::string& tenants, int count, int groups_each, int batches_each) {
  session_.execute(fmt::format(
      "SELECT count(weir.submit_batch('{}' || t, 'k' || g, jsonb_build_object('n', b), 'r', feed => '{}', "
      "final => b = {})) FROM generate_series(1, {}) b, generate_series(1, {}) g, generate_series(1, {}) t",
      tenants, kFeed, batches_each, batches_each, groups_each, count));
  session_.execute("VACUUM (ANALYZE) weir.batch_step, weir.batch_run, weir.batch, weir.batch_turn");
  session_.execute("CHECKPOINT");
}

std::unique_ptr<group::Consumer> GroupScene::consumer(const std::string& sink, group::SinkFactory sinks,
                                                      group::ConsumerOptions options) {
  options.feed = kFeed;
  options.sink = sink;
  return std::make_unique<group::Consumer>(std::make_shared<pg::Connector>(plain_.connector()),
                                           std::move(sinks), std::move(options));
}

double GroupScene::consume(const std::string& sink, const group::SinkFactory& sinks,
                           group::Ownership ownership) {
  const auto one = consumer(sink, sinks, {.ownership = ownership, .once = true});
  const double seconds = seconds_of([&] {
    one->start();
    Wakeup unused;
    wait_fd(one->finished().fd(), POLLIN, Deadline::after(std::chrono::minutes(10)), {}, unused);
    one->stop();
  });
  const group::GroupCounts& counts = one->counts();
  if (counts.retried + counts.failed + counts.lost > 0)
    throw Error(ExitCode::failed, "batches did not succeed: the figure would say nothing");
  return static_cast<double>(counts.succeeded) / seconds;
}

void GroupScene::wait_until(const std::string& condition) {
  const Deadline deadline = Deadline::after(std::chrono::minutes(2));
  while (!session_.execute("SELECT " + condition)[0].get<bool>(0)) {
    if (deadline.expired()) throw Error(ExitCode::failed, "it never came: " + condition);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

GroupScene::Spread GroupScene::spread(const std::string& query) {
  const pg::Result found = session_.execute(
      fmt::format("SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), 0)::float8, "
                  "coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms), 0)::float8, coalesce(max(ms), "
                  "0)::float8, count(*) FROM ({}) x(ms)",
                  query));
  return {found[0].get<double>(0), found[0].get<double>(1), found[0].get<double>(2),
          found[0].get<std::int64_t>(3)};
}

}  // namespace weir::bench
