// Which events a chunk has: against a model in which every transaction and event is looked at by itself.

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "base/error.h"
#include "stream/chunk.h"

namespace weir::stream {
namespace {

TEST(StreamHorizon, IsReadAsTheServerWritesIt) {
  EXPECT_EQ(parse_horizon("10:10:"), (Horizon{.end = 10, .open = {}}));
  EXPECT_EQ(parse_horizon("10:20:10,14"), (Horizon{.end = 20, .open = {10, 14}}));
  EXPECT_EQ(parse_horizon("4294967297:4294967300:4294967297"),
            (Horizon{.end = 4294967300, .open = {4294967297}}));
  for (const char* bad : {"", "10", "10:20", "10:x:", "10:20:14,12", "10:20:,", "-1:2:", "10:20:11;12",
                          "10:20:11:12", "99999999999999999999:1:"}) {
    EXPECT_THROW(parse_horizon(bad), Error) << bad;
  }
}

TEST(StreamHorizon, WhatEndedBetweenTwo) {
  const Ended ended = ended_between({.end = 20, .open = {10, 14}}, {.end = 30, .open = {14, 25}});
  EXPECT_EQ(ended.from, 20);
  EXPECT_EQ(ended.to, 30);
  EXPECT_EQ(ended.open, std::vector<Xid>{25});
  EXPECT_EQ(ended.late, std::vector<Xid>{10});
  EXPECT_TRUE(ended_between({.end = 20, .open = {10}}, {.end = 20, .open = {10}}).none());
  EXPECT_FALSE(ended_between({.end = 20, .open = {10}}, {.end = 20, .open = {}}).none());
  EXPECT_THROW(ended_between({.end = 20, .open = {}}, {.end = 19, .open = {}}), Error);
  EXPECT_EQ(cut_off({.end = 30, .open = {14, 25}}, 20), (Horizon{.end = 20, .open = {14}}));
}

struct Event {
  Xid xid;
  std::int64_t id;
  friend auto operator<=>(const Event&, const Event&) = default;
};

bool has(const Chunk& chunk, const Event& event) {
  if (chunk.slice)
    return event.xid == chunk.from && event.id > chunk.slice->after && event.id <= chunk.slice->last;
  const auto in = [&](const std::vector<Xid>& xids) {
    return std::find(xids.begin(), xids.end(), event.xid) != xids.end();
  };
  return (event.xid >= chunk.from && event.xid < chunk.to && !in(chunk.open)) || in(chunk.late);
}

/// Transactions that begin, write and end in any order, and someone who cuts now and then.
class Server {
 public:
  explicit Server(unsigned seed) : random_(seed) {}

  void step() {
    switch (random_() % 4) {
      case 0: open_.insert(next_++); break;
      case 1:
        if (!open_.empty()) {
          const Xid xid = any_open();
          for (auto n = random_() % 10 == 0 ? 100U : random_() % 4; n > 0; --n)
            written_[xid].push_back({xid, id_++});
        }
        break;
      default:
        if (!open_.empty()) {
          const Xid xid = any_open();
          if (random_() % 5 == 0) written_.erase(xid);  // rolled back
          open_.erase(xid);
        }
    }
  }
  [[nodiscard]] Horizon horizon() const { return {.end = next_, .open = {open_.begin(), open_.end()}}; }
  [[nodiscard]] std::vector<Written> written(const std::vector<Xid>& xids) const {
    std::vector<Written> all;
    for (const Xid xid : xids) {
      if (const auto found = written_.find(xid); found != written_.end())
        all.push_back({.xid = xid, .events = static_cast<std::int64_t>(found->second.size())});
    }
    return all;
  }
  [[nodiscard]] std::vector<Piece> pieces(Xid xid, std::size_t size) const {
    std::vector<Piece> pieces;
    const auto& events = written_.at(xid);
    for (std::size_t i = 0; i < events.size(); i += size) {
      const std::size_t end = std::min(i + size, events.size());
      pieces.push_back({.last = events[end - 1].id, .events = static_cast<std::int64_t>(end - i)});
    }
    return pieces;
  }
  [[nodiscard]] std::set<Event> ended() const {
    std::set<Event> all;
    for (const auto& [xid, events] : written_) {
      if (!open_.contains(xid)) all.insert(events.begin(), events.end());
    }
    return all;
  }

 private:
  Xid any_open() { return *std::next(open_.begin(), static_cast<std::ptrdiff_t>(random_() % open_.size())); }

  std::mt19937 random_;
  Xid next_ = 100;
  std::int64_t id_ = 1;
  std::set<Xid> open_;
  std::map<Xid, std::vector<Event>> written_;
};

class StreamChunks : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, StreamChunks, ::testing::Range(0U, 60U));

TEST_P(StreamChunks, EachEventThatEndedIsInExactlyOneChunkAlsoWhenNeighboursAreJoined) {
  constexpr std::int64_t kSize = 8;
  std::mt19937 random(GetParam());
  Server server(GetParam() + 1000);
  Horizon known = server.horizon();
  std::vector<Chunk> chunks;
  for (int round = 0; round < 40; ++round) {
    for (auto i = random() % 30; i > 0; --i) server.step();
    // Now and then not all of it at once.
    const Horizon all = server.horizon();
    const Xid end = random() % 3 == 0 ? known.end + static_cast<Xid>(random() % 5) : all.end;
    const Horizon now = cut_off(all, std::max(end, known.end));
    const Ended ended = ended_between(known, now);
    std::vector<Xid> between;
    for (Xid xid = ended.from; xid < ended.to; ++xid) {
      if (!std::binary_search(ended.open.begin(), ended.open.end(), xid)) between.push_back(xid);
    }
    const auto planned = plan_chunks(ended, server.written(ended.late), server.written(between), kSize,
                                     [&](const Written& large) { return server.pieces(large.xid, kSize); });
    if (planned.empty()) continue;  // as the cutter: what wrote nothing is not worth remembering
    for (const Chunk& chunk : planned) {
      EXPECT_GT(chunk.events, 0);
      EXPECT_LE(chunk.events, 3 * kSize);
    }
    chunks.insert(chunks.end(), planned.begin(), planned.end());
    known = now;
  }
  std::vector<Chunk> joint;
  for (const Chunk& chunk : chunks) {
    const auto both = joint.empty() || random() % 2 == 0 ? std::nullopt : joined(joint.back(), chunk);
    if (both) {
      joint.back() = *both;
    } else {
      joint.push_back(chunk);
    }
  }
  for (const auto* all : {&chunks, &joint}) {
    std::int64_t counted = 0;
    for (const Chunk& chunk : *all) counted += chunk.events;
    std::int64_t found = 0;
    for (const Event& event : server.ended()) {
      const auto times =
          std::count_if(all->begin(), all->end(), [&](const Chunk& chunk) { return has(chunk, event); });
      found += times;
      EXPECT_LE(times, 1) << "event " << event.id << " of " << event.xid;
      const bool known_to_have_ended =
          event.xid < known.end && !std::binary_search(known.open.begin(), known.open.end(), event.xid);
      EXPECT_EQ(times == 1, known_to_have_ended) << "event " << event.id << " of " << event.xid;
    }
    EXPECT_EQ(found, counted);
  }
}

}  // namespace
}  // namespace weir::stream
