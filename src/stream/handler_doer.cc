#include "stream/handler_doer.h"

#include "stream/chunk_events.h"
#include "stream/lane_run.h"
#include "work/transaction_parts.h"

namespace weir::stream {
namespace {

/// Of events in memory at a time: all of a unit may be one lane's.
constexpr std::size_t kMostInOrder = 1000;

}  // namespace

std::size_t HandlerDoer::work(pg::Session& session, const GroupWork& work, Failures& failures,
                              const std::stop_token& stop) {
  ChunkEvents events(session, stream_, sql_, work, group_.max_attempts);
  const auto items = events.items();
  work::TransactionParts parts(session, *handler_, stop, {.follows = true});
  const auto run = [&](std::size_t begin, std::size_t end) {
    const auto outcomes = parts.run(items.subspan(begin, end - begin));
    for (std::size_t i = begin; i < end; ++i) {
      if (!outcomes[i - begin].is_done())
        failures.add(events.number(i), outcomes[i - begin], items[i].attempt);
    }
  };
  for (std::size_t begin = 0; begin < items.size() && !stop.stop_requested();) {
    if (events.is_heavy(begin)) {
      events.load(begin, session);
      run(begin, begin + 1);
      events.unload(begin++);
      continue;
    }
    std::size_t end = begin + 1;
    while (end < items.size() && !events.is_heavy(end)) ++end;
    run(begin, end);
    begin = end;
  }
  return items.size();
}

void HandlerDoer::work_in_order(pg::Session& session, const GroupWork& work, LaneRun& run,
                                const std::stop_token& stop) {
  work::TransactionParts parts(session, *handler_, stop, {.follows = true, .in_order = true});
  for (GroupWork rest = work;;) {
    ChunkEvents events(session, stream_, sql_, rest, group_.max_attempts, kMostInOrder);
    const auto items = events.items();
    for (std::size_t begin = 0; begin < items.size() && !stop.stop_requested();) {
      const bool heavy = events.is_heavy(begin);
      if (heavy) events.load(begin, session);
      std::size_t end = begin + 1;
      while (!heavy && end < items.size() && !events.is_heavy(end)) ++end;
      const auto outcomes = parts.run(items.subspan(begin, end - begin));
      if (heavy) events.unload(begin);
      // Behind the first one that is not done none was: if that is dead, they are begun anew.
      for (bool done = true; done && begin < end; ++begin) {
        const work::Outcome& outcome = outcomes[outcomes.size() - (end - begin)];
        done = outcome.is_done();
        if (!run.settle(events.place(begin), outcome)) return;
      }
    }
    if (items.size() < kMostInOrder || !rest.lane || stop.stop_requested()) return;
    rest.lane->after = events.place(items.size() - 1);
  }
}

}  // namespace weir::stream
