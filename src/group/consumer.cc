#include "group/consumer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/text.h"
#include "pg/budget.h"
#include "pg/error.h"
#include "pg/pooler.h"
#include "schema/server_info.h"
#include "work/process.h"
#include "work/work_connector.h"

namespace weir::group {
namespace {

/// Some of the candidates are somebody else's by the time one comes to take them.
constexpr std::size_t kCandidatesEach = 3;
constexpr std::size_t kMostCandidates = 1000;
constexpr BackoffPolicy kTrouble{.base = std::chrono::milliseconds(200), .cap = std::chrono::seconds(30)};

std::string new_owner() {
  return fmt::format("{}:{:08x}", work::process_name(),
                     static_cast<std::uint32_t>(random_unit() * 4294967295.0));
}

Ownership choose(std::optional<Ownership> wanted, pg::Pooling pooling) {
  if (!wanted) return pooling == pg::Pooling::none ? Ownership::advisory : Ownership::lease;
  if (*wanted == Ownership::advisory) pg::require_session_state(pooling, "owning groups by advisory lock");
  return *wanted;
}

/// What weir.ready_groups() says of a sink that was dropped.
bool is_gone(const std::exception& error) {
  const auto* const ours = dynamic_cast<const pg::Error*>(&error);
  return ours != nullptr && ours->info().sqlstate == "P0002";
}

}  // namespace

void require_connections(pg::Session& session, std::size_t concurrency) {
  schema::require_budget(session, {.lines = {{pg::Role::poll, 1},
                                             {pg::Role::recovery, 1},
                                             {pg::Role::group, static_cast<int>(concurrency)}}});
}

Consumer::Consumer(std::shared_ptr<const pg::Connector> connector, SinkFactory sinks, ConsumerOptions options)
    : connector_(std::move(connector)), sinks_(std::move(sinks)), options_(std::move(options)) {}

void Consumer::run(const std::stop_token& stop, const std::function<void()>& ready) {
  owner_ = new_owner();
  finished_.drain();
  const work::WorkConnector at = work::connector_for_work(connector_, {.stop = stop});
  ownership_ = choose(options_.ownership, at.pooling);
  const auto& connector = at.connector;
  {
    pg::Session session = connector->connect(pg::Role::api, owner_, {.stop = stop});
    work::require_read_committed(session);
    require_connections(session, options_.concurrency);
    sink_ = find_sink(session, options_.feed, options_.sink);
  }
  Slots slots({.connector = connector,
               .sink = sink_,
               .sinks = sinks_,
               .ownership = ownership_,
               .owner = owner_,
               .count = options_.concurrency},
              counts_, freed_);
  Recovery recovery(connector, sink_, owner_, [this](const RecoveryConnection::Swept& swept) {
    counts_.failed += swept.failed;
    if (swept.groups > 0) freed_.notify();
  });
  recovery.start();
  ready();
  std::optional<PollConnection> connection;
  bool gone = false;
  // With `once` it waits for others' last batches, of whose end nobody is told.
  Rest rest({.poll = options_.poll, .may_sleep = at.can_be_woken && !options_.once});
  // Also where it does not sleep, because it cannot see all at once: nobody tells it then.
  const Duration longest = at.can_be_woken ? kLongestSleep : Duration::max();
  for (int failures = 0; !stop.stop_requested();) {
    std::optional<Duration> pause;
    try {
      if (!connection || !connection->is_open())
        connection.emplace(PollConnection::open(*connector, owner_, {.stop = stop}));
      pause = look(*connection, slots, rest);
      if (!pause) {
        finished_.notify();
        break;
      }
      failures = 0;
      if (connection->is_lying()) {
        if (connection->wait(Deadline::after(std::min(*pause, longest)), stop, freed_)) {
          ++counts_.woken;
          rest.woken();
          connection->get_up();  // while it looks, producers need not tell it of more
        }
        continue;
      }
    } catch (const std::exception& error) {
      if (stop.stop_requested()) break;
      if ((gone = is_gone(error))) break;
      if (connection) connection->get_up();  // it will not hear what it is told
      log::warn("looking for batches failed", {{"sink", sink_.name}, {"error", error.what()}});
      pause = backoff_delay(kTrouble, ++failures, random_unit());
    }
    wait_fd(-1, 0, Deadline::after(std::min(*pause, longest)), stop, freed_);
  }
  const Deadline drained = Deadline::after(options_.drain);
  slots.close();
  connection.reset();
  // First: of a session that is broken off in the end, it would take for dead what is about to be given back.
  recovery.stop();
  slots.drain(drained);
  if (gone) {
    throw Error(ExitCode::refused,
                fmt::format("the feed {} was dropped, and its sink {} with it", printable(sink_.feed),
                            printable(sink_.name)),
                "One of that name that is made anew is another one: start the consumer again for it.");
  }
}

std::optional<Duration> Consumer::look(PollConnection& connection, Slots& slots, Rest& rest) {
  const std::size_t free = slots.free();
  if (free == 0) {
    connection.get_up();
    // Those in flight have to know whether somebody waits for them.
    const std::size_t wanted = std::min(kMostCandidates, slots.set_aside() + 1);
    slots.set_crowded(slots.is_waiting(connection.candidates(sink_, wanted)));
    return options_.poll;
  }
  // In this order: what those wrote who had ended by then, the look sees.
  const bool decided = connection.is_lying() && connection.decided();
  const auto groups = connection.candidates(sink_, std::min(kMostCandidates, free * kCandidatesEach));
  const std::size_t begun = slots.dispatch(groups);
  slots.set_crowded(slots.is_waiting(groups));
  if (begun > 0) {
    rest.found_work();
    connection.get_up();
    return std::min<Duration>(Rest::kBusyPause, options_.poll);
  }
  if (options_.once && free == options_.concurrency && !connection.work_left(sink_)) return std::nullopt;
  const Rest::Action next = rest.found_nothing({.lying = connection.is_lying(),
                                                .decided = decided,
                                                .saw_all = connection.saw_all(),
                                                .found_some = !groups.empty(),
                                                .begun = counts_.begun,
                                                .random = random_unit()});
  if (next.step == Rest::Step::lie_down) connection.lie_down(sink_);
  if (next.step == Rest::Step::sleep) sleeps.emit(next.pause);
  return next.pause;
}

}  // namespace weir::group
