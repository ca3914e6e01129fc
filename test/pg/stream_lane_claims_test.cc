// Lanes under the lease of processes: what is claimed beside what, and what is lost with whom.

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pg/error.h"
#include "schema/queries/streams.h"
#include "schema/queries/streams_lanes.h"
#include "stream/admin.h"
#include "support/stream_test.h"

namespace weir::stream {
namespace {

class StreamLaneClaimsTest : public test::StreamTest {
 protected:
  void SetUp() override {
    StreamTest::SetUp();
    stream_ = create_stream(*one_, {.name = "events", .chunk_events = 10}).id;
    // Of so many keys that each lane has some.
    one_->execute(
        "INSERT INTO events (key, payload) SELECT 'k' || n, jsonb_build_object('n', n) FROM "
        "generate_series(1, 64) n");
    cut_all();
  }
  void ordered_group(std::int32_t lanes) {
    const auto made = one_->run<sql::MakeOrderedStreamGroup>(stream_, "g", std::optional(WallTime{}), lanes);
    group_ = made.one().id;
  }
  std::int64_t process() {
    one_->execute(
        "INSERT INTO weir.process (id, name, lease_until) OVERRIDING SYSTEM VALUE VALUES ($1, 'p', now() + "
        "interval '1 h')",
        ++processes_);
    return processes_;
  }
  std::optional<std::int32_t> claim(std::int64_t who, std::int64_t nth) {
    const auto claimed =
        one_->run<sql::ClaimStreamLane>(who, nth, group_, stream_, 1, std::vector<std::int64_t>());
    if (claimed.empty()) return std::nullopt;
    return claimed.one().lane;
  }
  void lose(std::int64_t who, std::int64_t claims) {
    one_->execute("UPDATE weir.process SET dead = true WHERE id = $1", who);
    const auto rescued = one_->run<sql::RescueStreamClaims>();
    EXPECT_EQ(rescued.one().rescued, claims);
  }
  std::int64_t killed(std::int32_t lane) {
    return number("SELECT killed FROM weir.stream_lane WHERE lane = " + std::to_string(lane));
  }

  std::int32_t stream_ = 0;
  std::int32_t group_ = 0;
  std::int64_t processes_ = 4710;
};

// It would be one that is not kept in order, and was never given its past.
TEST_F(StreamLaneClaimsTest, AGroupWithoutLanesIsNotMadeAsAnOrderedOne) {
  EXPECT_THROW(ordered_group(0), pg::Error);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_group"), 0);
}

// All that a process had claimed one event each of was dead after a few of its deaths, begun or not.
TEST_F(StreamLaneClaimsTest, OnlyWhatAProcessHadAloneIsCountedAgainstAnEvent) {
  ordered_group(2);
  const std::int64_t first = process();
  EXPECT_EQ(claim(first, 1), 0);
  EXPECT_EQ(claim(first, 2), 1);
  lose(first, 2);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane WHERE most = 1 AND killed = 0"), 2);
  for (int i = 1; i <= 3; ++i) {
    const std::int64_t next = process();
    EXPECT_EQ(claim(next, 1), 0);
    EXPECT_EQ(claim(next, 2), std::nullopt) << "it has one that may kill";
    lose(next, 1);
    EXPECT_EQ(killed(0), i);
    EXPECT_EQ(killed(1), 0);
  }
  std::atomic<int> calls{0};
  work_off(*leased({.group = "g", .from = WallTime{}, .workers = 4, .once = true, .ordered = true},
                   [&](const work::Item&) {
                     ++calls;
                     return work::Outcome::done();
                   }));
  EXPECT_EQ(calls, 63);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter WHERE next_at IS NULL"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_lane WHERE killed > 0"), 0);
}

TEST_F(StreamLaneClaimsTest, WhoHasSomethingElseEndsThatFirstAndOthersGoOn) {
  ordered_group(3);
  const std::int64_t busy = process();
  EXPECT_EQ(claim(busy, 1), 0);
  one_->execute("UPDATE weir.stream_lane SET most = 1 WHERE lane = 2");
  EXPECT_EQ(claim(busy, 2), std::nullopt) << "lane 1 too: it would never be without";
  one_->execute("UPDATE weir.stream_lane SET retry_at = now() + interval '1 h' WHERE lane = 2");
  EXPECT_EQ(claim(busy, 3), 1) << "nothing waits for it";
  one_->execute("UPDATE weir.stream_lane SET retry_at = NULL");
  one_->run<sql::ReturnStreamClaim>(busy, std::int64_t{1});
  EXPECT_EQ(claim(busy, 4), std::nullopt);
  one_->run<sql::ReturnStreamClaim>(busy, std::int64_t{3});
  EXPECT_EQ(claim(busy, 5), 2) << "before those that are as far behind";
  EXPECT_EQ(claim(busy, 6), std::nullopt);
  // Of letters neither.
  one_->execute(
      "INSERT INTO weir.stream_letter (group_id, attempt, next_at, event_id, at, event, error) SELECT "
      "group_id, 1, now(), 1, now(), '{}', 'e' FROM weir.stream_lane WHERE lane = 0");
  const auto letters = [&](std::int64_t who, std::int64_t nth) {
    return one_->run<sql::ClaimStreamLetters>(who, nth, group_, 10).size();
  };
  EXPECT_EQ(letters(busy, 7), 0);
  const std::int64_t other = process();
  EXPECT_EQ(claim(other, 1), 0);
  EXPECT_EQ(claim(other, 2), 1);
  EXPECT_EQ(letters(other, 3), 1);
}

// After a crash of the server somebody else would begin with what this process goes on with.
TEST_F(StreamLaneClaimsTest, ACrashOfTheServerTakesNoClaimOfALaneBack) {
  one_->execute_script(
      "CREATE TABLE public.claimed (group_id int, by_setting text, by_default text);"
      "CREATE FUNCTION public.note_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
      "INSERT INTO public.claimed SELECT NEW.group_id, s.setting, s.reset_val FROM pg_catalog.pg_settings s "
      "WHERE s.name = 'synchronous_commit'; RETURN NEW; END $$;"
      "CREATE TRIGGER note_claim BEFORE INSERT ON weir.stream_claim FOR EACH ROW EXECUTE FUNCTION "
      "public.note_claim()");
  const auto done = [](const work::Item&) { return work::Outcome::done(); };
  ordered_group(4);
  work_off(*leased({.group = "g", .from = WallTime{}, .workers = 4, .once = true, .ordered = true}, done));
  EXPECT_GE(number("SELECT count(*) FROM public.claimed"), 4);
  EXPECT_EQ(number("SELECT count(*) FROM public.claimed WHERE by_setting <> by_default"), 0);
  one_->execute("TRUNCATE public.claimed");
  work_off(*leased({.group = "plain", .from = WallTime{}, .once = true}, done));
  EXPECT_GE(number("SELECT count(*) FROM public.claimed WHERE by_setting = 'off'"), 1) << "a repeat, no more";
}

// All of what is put together for sixteen lanes is before one of them: it is read bit by bit.
TEST_F(StreamLaneClaimsTest, AKeyThatHasAllTheEventsIsReadInPartsAndInOrder) {
  one_->execute("UPDATE weir.stream SET chunk_events = 1000");
  for (int i = 0; i < 4; ++i) {
    one_->execute("INSERT INTO events (key, payload) SELECT 'hot', '1' FROM generate_series(1, 900) n");
    cut_all();
  }
  for (const bool by_lease : {true, false}) {
    const std::string name = by_lease ? "leased" : "tx";
    std::vector<std::int64_t> ids;  // those of one lane come one after the other
    const auto handle = [&](const work::Item& item) {
      if (item.kind == "hot") ids.push_back(item.id);
      return work::Outcome::done();
    };
    const ConsumerOptions options{
        .group = name, .from = WallTime{}, .workers = 1, .once = true, .ordered = true};
    work_off(by_lease ? *leased(options, handle) : *transactional(options, handle));
    EXPECT_EQ(ids.size(), 3600U) << name;
    EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end())) << name;
    EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end()) << name;
  }
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
}

}  // namespace
}  // namespace weir::stream
