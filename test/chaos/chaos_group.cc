// A consumer of groups as a process of its own, for group_chaos_test.cc: this program again, told what to do
// by its environment.

#include <gtest/gtest.h>

#include "base/stop_signals.h"
#include "chaos_process.h"
#include "group/consumer.h"
#include "pg/connector.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;
using work::Outcome;

/// Writes what it was given to public.effect: in its transaction, or else by a session of its own. Some
/// batches fail at first, some each time, and one in many for good.
class ChaosSink final : public Sink {
 public:
  ChaosSink(std::shared_ptr<const pg::Connector> connector, std::string name, Place place)
      : connector_(std::move(connector)), name_(std::move(name)), place_(place) {}

  [[nodiscard]] Place place() const noexcept override { return place_; }
  Outcome apply(const Batch& batch, const Application& application) override {
    std::optional<pg::Session> own;
    if (application.session == nullptr) own.emplace(connector_->connect(pg::Role::api, "effect"));
    pg::Session& session = own ? *own : *application.session;
    if (own && batch.run_id % 97 == batch.idx) wait_out(application.stop, 900ms);
    const WallTime asked_at = Clock::system().wall();
    if (own) application.verify();
    session.execute(
        "INSERT INTO public.effect (sink, tenant, key, run_id, idx, attempt, asked_at) VALUES ($1, $2, $3, "
        "$4, "
        "$5, $6, $7)",
        name_, batch.group.tenant, batch.group.key, batch.run_id, batch.idx, batch.attempt, asked_at);
    const std::int64_t lot = batch.run_id * 31 + batch.idx;
    if ((lot + (own ? 7 : 0)) % 397 == 0) return Outcome::failed("each time");
    if (lot % 41 == 0 && batch.attempt == 1) return Outcome::failed("once more");
    if (lot % 601 == 0) return Outcome::discarded("never");
    return Outcome::done();
  }

 private:
  /// Long enough for heartbeats.
  static void wait_out(const std::stop_token& stop, Duration span) {
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(span), stop, unused);
  }

  std::shared_ptr<const pg::Connector> connector_;
  std::string name_;
  Place place_;
};

TEST(ChaosGroup, DISABLED_Run) {
  const StopSignals signals;
  const std::string sink = test::environment("WEIR_CHAOS_SINK");
  const bool inside = test::environment("WEIR_CHAOS_PLACE") == "inside";
  const bool lease = test::environment("WEIR_CHAOS_OWNERSHIP") == "lease";
  const auto connector =
      std::make_shared<const pg::Connector>(pg::Conninfo::parse(test::environment("WEIR_CHAOS_URL")));
  const auto place = inside ? Sink::Place::inside : Sink::Place::outside;
  Consumer consumer(connector, [&] { return std::make_unique<ChaosSink>(connector, sink, place); },
                    {.sink = sink,
                     .concurrency = 4,
                     .ownership = lease ? Ownership::lease : Ownership::advisory,
                     .poll = 50ms,
                     .drain = 2s});
  test::serve(consumer, signals.token());
}

}  // namespace
}  // namespace weir::group
