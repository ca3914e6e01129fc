// How a lane goes through chunks: in what order it has events, and where it is when it stops among them.

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "stream/lane.h"

namespace weir::stream {
namespace {

Chunk range(std::int64_t number, Xid from, Xid to, std::int64_t events, std::vector<Xid> late = {}) {
  Chunk chunk;
  chunk.number = number;
  chunk.from = from;
  chunk.to = to;
  chunk.late = std::move(late);
  chunk.events = events;
  return chunk;
}

Chunk slice(std::int64_t number, Xid xid, std::int64_t after, std::int64_t last) {
  Chunk chunk = range(number, xid, xid + 1, last - after);
  chunk.slice = Chunk::Slice{.after = after, .last = last};
  return chunk;
}

std::vector<std::size_t> sizes(const std::vector<LaneUnit>& units) {
  std::vector<std::size_t> sizes;
  for (const LaneUnit& unit : units) sizes.push_back(unit.chunks.size());
  return sizes;
}

using Sizes = std::vector<std::size_t>;

TEST(StreamLane, NeighboursAreOneUnlessThatWouldMixThem) {
  EXPECT_EQ(sizes(lane_units({{range(1, 10, 20, 5)}, {range(2, 20, 30, 5)}, {range(3, 30, 40, 5)}}, 4, 100)),
            (Sizes{3}));
  // Late ones are of numbers among those before.
  EXPECT_EQ(
      sizes(lane_units({{range(1, 10, 20, 5)}, {range(2, 20, 30, 5, {12})}, {range(3, 30, 40, 5)}}, 4, 100)),
      (Sizes{1, 2}));
  // Of a part of a chunk's times.
  EXPECT_EQ(
      sizes(lane_units({{range(1, 10, 20, 5), true}, {range(2, 20, 30, 5)}, {range(3, 30, 40, 5)}}, 4, 100)),
      (Sizes{1, 2}));
  // No neighbours; and more than the lane's share of what is asked for.
  EXPECT_EQ(sizes(lane_units({{range(1, 10, 20, 5)}, {range(2, 25, 30, 5)}}, 4, 100)), (Sizes{1, 1}));
  EXPECT_EQ(
      sizes(lane_units({{range(1, 10, 20, 50)}, {range(2, 20, 30, 50)}, {range(3, 30, 40, 50)}}, 4, 25)),
      (Sizes{2, 1}));
  EXPECT_EQ(sizes(lane_units({{slice(1, 10, 0, 8)}, {slice(2, 10, 8, 16)}, {range(3, 11, 20, 5)}}, 4, 100)),
            (Sizes{2, 1}));
}

TEST(StreamLane, APlaceIsInTheChunkThatHasIt) {
  const auto ranges = lane_units({{range(7, 10, 20, 5, {3})}, {range(8, 20, 30, 5)}}, 1, 100);
  ASSERT_EQ(sizes(ranges), (Sizes{2}));
  const auto at = [](std::int64_t chunk, Place place) {
    return LanePosition{.done_chunk = chunk - 1, .part_chunk = chunk, .part = place};
  };
  EXPECT_EQ(position_at(ranges[0], {3, 1}), at(7, {3, 1}));
  EXPECT_EQ(position_at(ranges[0], {19, 4}), at(7, {19, 4}));
  EXPECT_EQ(position_at(ranges[0], {20, 5}), at(8, {20, 5}));
  EXPECT_EQ(position_behind(ranges[0]), LanePosition{.done_chunk = 8});
  const auto slices = lane_units({{slice(7, 10, 0, 8)}, {slice(8, 10, 8, 16)}}, 1, 100);
  EXPECT_EQ(position_at(slices[0], {10, 8}), at(7, {10, 8}));
  EXPECT_EQ(position_at(slices[0], {10, 9}), at(8, {10, 9}));
}

TEST(StreamLane, GoesOnBehindWhatItHasDoneOfTheFirstChunkAlone) {
  const auto units = lane_units({{range(7, 10, 20, 5)}, {range(8, 20, 30, 5, {12})}}, 4, 100);
  ASSERT_EQ(sizes(units), (Sizes{1, 1}));
  Lane lane{.lane = 2,
            .position = {.done_chunk = 6, .part_chunk = 7, .part = {15, 3}},
            .failed_event = 4,
            .attempt = 2};
  const GroupWork first = lane_work(units[0], lane, 4);
  ASSERT_TRUE(first.lane);
  EXPECT_EQ(first.lane->lane, 2);
  EXPECT_EQ(first.lane->lanes, 4);
  EXPECT_EQ(first.lane->after, (Place{15, 3}));
  EXPECT_EQ(first.failed(4), 2);
  EXPECT_EQ(first.failed(5), 0);
  EXPECT_EQ(lane_work(units[1], lane, 4).lane->after, std::nullopt);
}

/// Events as a server has them: when their transaction took its number, and when it ended.
struct Happened {
  Place place;
  int began = 0;
  int ended = 0;
};

class StreamLaneOrder : public ::testing::TestWithParam<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, StreamLaneOrder, ::testing::Range(0U, 40U));

bool is_in(const Chunk& chunk, const Place& place) {
  if (chunk.slice)
    return place.xid == chunk.from && place.event > chunk.slice->after && place.event <= chunk.slice->last;
  const auto among = [&](const std::vector<Xid>& xids) {
    return std::find(xids.begin(), xids.end(), place.xid) != xids.end();
  };
  return (place.xid >= chunk.from && place.xid < chunk.to && !among(chunk.open)) || among(chunk.late);
}

/// Transactions that overlap as they like, and are cut now and then: what a lane of all events is given.
TEST_P(StreamLaneOrder, WhatWasCommittedBeforeATransactionBeganComesBeforeItWhereverTheLaneStops) {
  std::mt19937 random(GetParam());
  std::map<Xid, std::vector<Happened>> transactions;
  std::set<Xid> open;
  std::vector<LaneChunk> chunks;
  Xid next = 100;
  std::int64_t id = 1;
  int clock = 0;
  Horizon known{.end = next, .open = {}};
  const auto cut = [&] {
    const Horizon now{.end = next, .open = {open.begin(), open.end()}};
    const Ended ended = ended_between(known, now);
    const auto written = [&](Xid xid, std::vector<Written>& all) {
      if (!transactions[xid].empty())
        all.push_back({.xid = xid, .events = static_cast<std::int64_t>(transactions[xid].size())});
    };
    std::vector<Written> late;
    std::vector<Written> others;
    for (const Xid xid : ended.late) written(xid, late);
    for (Xid xid = ended.from; xid < ended.to; ++xid) {
      if (!open.contains(xid)) written(xid, others);
    }
    const auto cut_up = [&](const Written& large) {
      std::vector<Piece> pieces;
      const auto& events = transactions[large.xid];
      for (std::size_t i = 0; i < events.size(); i += 6) {
        const std::size_t end = std::min<std::size_t>(i + 6, events.size());
        pieces.push_back({.last = events[end - 1].place.event, .events = static_cast<std::int64_t>(end - i)});
      }
      return pieces;
    };
    for (Chunk chunk : plan_chunks(ended, late, others, 6, cut_up)) {
      chunk.number = static_cast<std::int64_t>(chunks.size()) + 1;
      chunks.push_back({std::move(chunk)});
    }
    known = now;
  };
  for (int step = 0; step < 300; ++step) {
    ++clock;
    const auto what = random() % 8;
    if (what < 3) {
      open.insert(next);
      auto& events = transactions[next];
      for (auto n = random() % 12 == 0 ? 20U : 1 + random() % 3; n > 0; --n)
        events.push_back({.place = {next, id++}, .began = clock});
      ++next;
    } else if (what < 7 && !open.empty()) {
      const Xid xid = *std::next(open.begin(), static_cast<std::ptrdiff_t>(random() % open.size()));
      for (Happened& event : transactions[xid]) event.ended = clock;
      open.erase(xid);
    } else if (what == 7) {
      cut();
    }
  }
  for (const Xid xid : open) {
    for (Happened& event : transactions[xid]) event.ended = clock + 1;
  }
  open.clear();
  cut();

  // As a lane reads, in pieces that end anywhere.
  std::vector<Happened> had;
  Lane lane;
  while (lane.position.done_chunk < static_cast<std::int64_t>(chunks.size())) {
    std::vector<LaneChunk> ahead(chunks.begin() + lane.position.done_chunk, chunks.end());
    ahead.resize(std::min<std::size_t>(ahead.size(), 1 + random() % 5));
    for (const LaneUnit& unit : lane_units(ahead, 1, 30)) {
      const auto after = lane_work(unit, lane, 1).lane->after;
      std::vector<Happened> events;
      for (const auto& [xid, of_it] : transactions) {
        for (const Happened& event : of_it) {
          if (is_in(unit.whole, event.place) && (!after || event.place > *after)) events.push_back(event);
        }
      }
      std::sort(events.begin(), events.end(),
                [](const Happened& a, const Happened& b) { return a.place < b.place; });
      const std::size_t stop =
          random() % 3 == 0 && !events.empty() ? random() % events.size() : events.size();
      had.insert(had.end(), events.begin(), events.begin() + static_cast<std::ptrdiff_t>(stop));
      if (stop == events.size()) {
        lane.position = position_behind(unit);
        continue;
      }
      if (stop > 0) lane.position = position_at(unit, events[stop - 1].place);
      break;
    }
  }

  EXPECT_EQ(static_cast<std::int64_t>(had.size()), id - 1);
  std::set<std::int64_t> different;
  for (std::size_t i = 0; i < had.size(); ++i) {
    different.insert(had[i].place.event);
    for (std::size_t j = i + 1; j < had.size(); ++j) {
      EXPECT_FALSE(had[j].ended < had[i].began) << had[j].place.xid << " comes behind " << had[i].place.xid;
      if (had[i].place.xid == had[j].place.xid) {
        EXPECT_LT(had[i].place.event, had[j].place.event);
      }
    }
  }
  EXPECT_EQ(different.size(), had.size());
}

}  // namespace
}  // namespace weir::stream
