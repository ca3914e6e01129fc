#include <fmt/format.h>

#include "base/wait.h"
#include "group/consumer.h"
#include "group/demo/stage.h"

namespace weir::group::demo {
namespace {

/// The same work and the same statement as on the shared connection.
class DemoSink final : public Sink {
 public:
  DemoSink(std::int32_t sink, Duration work) : sink_(sink), work_(work) {}

  [[nodiscard]] Place place() const noexcept override { return Place::inside; }
  work::Outcome apply(const Batch& batch, const Application& application) override {
    Wakeup unused;
    if (wait_fd(-1, 0, Deadline::after(work_), application.stop, unused) == WaitEnd::stopped)
      return work::Outcome::returned();
    application.session->execute(kEffect, sink_, batch.run_id, batch.idx, batch.group.key);
    return work::Outcome::done();
  }

 private:
  std::int32_t sink_;
  Duration work_;
};

}  // namespace

void show_own_connections(Stage& stage, std::vector<GroupsDemoWay>& ways) {
  const GroupsDemoOptions& options = stage.options();
  options.on_step(fmt::format("Weir: {} groups with a connection each", options.groups));
  const SinkDefinition sink = stage.make_feed("own");
  ways.push_back({.name = "Weir"});
  Consumer consumer(stage.connector(), [&] { return std::make_unique<DemoSink>(sink.id, options.work); },
                    {.feed = sink.feed,
                     .sink = sink.name,
                     .concurrency = static_cast<std::size_t>(options.groups),
                     .ownership = Ownership::lease,
                     .drain = std::chrono::seconds(1)});
  consumer.start();
  stage.watch(sink, ways);
  stage.read(sink, ways.back());
  consumer.stop();
  ways.back().refused = consumer.counts().lost;
  options.on_frame(ways);
}

}  // namespace weir::group::demo
