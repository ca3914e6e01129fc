#include "group/recovery.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/backoff.h"
#include "base/log.h"
#include "base/wait.h"

namespace weir::group {
namespace {

constexpr Duration kSweepEvery = std::chrono::seconds(5);
constexpr Duration kKeepEvery = std::chrono::minutes(10);
/// Where it failed. Groups are taken from those who are gone meanwhile, as ever.
constexpr Duration kKeepAgain = std::chrono::minutes(1);
constexpr BackoffPolicy kTrouble{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(10)};

}  // namespace

Recovery::Recovery(std::shared_ptr<const pg::Connector> connector, const SinkDefinition& sink, std::string id,
                   OnSwept on_swept)
    : connector_(std::move(connector)), sink_(sink), id_(std::move(id)), on_swept_(std::move(on_swept)) {}

void Recovery::run(const std::stop_token& stop, const std::function<void()>& ready) {
  // Started means that work goes on: a first sweep that takes long holds nobody up.
  ready();
  const Duration every = std::min<Duration>(kSweepEvery, sink_.lease / 3);
  std::optional<RecoveryConnection> connection;
  SteadyTime keep_at{};
  Wakeup unused;
  const auto tell = [&](const RecoveryConnection::Swept& swept) {
    if (swept.groups > 0 || swept.failed > 0) on_swept_(swept);
  };
  for (int failures = 0; !stop.stop_requested();) {
    Duration pause = every;
    try {
      if (!connection || !connection->is_open())
        connection.emplace(RecoveryConnection::open(*connector_, id_, {.stop = stop}));
      tell(connection->recover(sink_));
      failures = 0;
      if (const SteadyTime now = steady_now(); now >= keep_at) {
        keep_at = now + kKeepAgain;
        tell(connection->keep(sink_));
        keep_at = now + kKeepEvery;
      }
    } catch (const std::exception& error) {
      if (stop.stop_requested()) return;
      log::warn("a recovery sweep failed", {{"sink", sink_.name}, {"error", error.what()}});
      pause = backoff_delay(kTrouble, ++failures, random_unit());
    }
    wait_fd(-1, 0, Deadline::after(pause), stop, unused);
  }
}

}  // namespace weir::group
