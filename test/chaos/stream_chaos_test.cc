// Producers that commit out of order, some after seconds, some a million events at once; and six consumers
// under random deaths, freezes, ends in order, and restarts of the server. What the producers say was
// committed is compared with what is in the stream, and that with what each group applied. ./dev chaos runs
// it at full size.

#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "schema/migrator.h"
#include "schema/queries/streams.h"
#include "stream/stream.h"
#include "stream_producer.h"
#include "support/crew.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

constexpr int kProducers = 8;
constexpr std::array kGroups{"leased", "sql", "exact"};

class StreamChaosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    schema::migrate(session);
    const auto stream = create_stream(session, {.name = "public.events", .chunk_events = 100});
    session.execute("ALTER TABLE events ALTER event_id SET CACHE 50");
    session.execute("UPDATE weir.stream SET name = 'events'");
    session.execute("CREATE TABLE public.effect (group_name text, event bigint)");
    for (const char* group : kGroups) session.run<sql::MakeStreamGroup>(stream.id, group, WallTime{});
    session.execute("UPDATE weir.stream_group SET backoff_ms = 1, backoff_cap_ms = 10, max_attempts = 1000");
  }
  void TearDown() override {
    producers_.clear();
    if (HasFailure()) crew_.show_logs();
  }

  [[nodiscard]] pg::Session session() const {
    return pg::Connector(server_.conninfo(), {.users_search_path = true}).connect(pg::Role::api, "test");
  }
  std::int64_t number(const std::string& sql) {
    for (int failures = 0;; ++failures) {
      try {
        pg::Session session = this->session();
        return session.execute("SELECT (" + sql + ")::int8")[0].get<std::int64_t>(0);
      } catch (const pg::ConnectionLost&) {
        if (failures == 5) throw;
      }
    }
  }
  void start(std::size_t index) {
    crew_.start(index, {{"WEIR_CHAOS_GROUP", kGroups[index % kGroups.size()]},
                        {"WEIR_CHAOS_URL", server_.conninfo().url()}});
  }
  /// Until the others have declared it dead, and a little longer.
  void freeze_one(std::size_t index) {
    const std::string alive = fmt::format(
        "SELECT count(*) FROM weir.process WHERE NOT dead AND name LIKE '%:{}'", crew_.pid(index));
    if (number(alive) == 0) return;
    crew_.freeze(index);
    test::wait_until([&] { return number(alive) == 0; }, "a verdict");
    std::this_thread::sleep_for(50ms);
    crew_.thaw(index);
  }
  void start_producers(std::uint64_t seed, std::int64_t seconds) {
    const bool full = seconds >= 60;
    for (int i = 0; i < kProducers; ++i) {
      using Kind = Producer::Kind;
      const Kind kind = i == 0 ? Kind::large : i == 1 ? Kind::copy : i == 2 ? Kind::slow : Kind::small;
      const Producer::Options options{
          .kind = kind, .copied = full ? 1'000'000 : 2'000, .span = full ? Duration(30s) : Duration(3s)};
      producers_.emplace_back([this, seed, i, options](const std::stop_token& stop) {
        Producer(server_.conninfo(), seed + static_cast<std::uint64_t>(i), i + 1, options, ledger_).run(stop);
      });
    }
  }
  /// Events of the ledger, all of them or those that are not in the stream.
  std::int64_t noted(const std::vector<Numbers>& numbers, const std::string& which) {
    std::vector<std::int64_t> firsts;
    std::vector<std::int64_t> lasts;
    for (const Numbers& range : numbers) {
      firsts.push_back(range.first);
      lasts.push_back(range.first + range.count - 1);
    }
    pg::Session session = this->session();
    return session
        .execute(
            "SELECT count(*) FROM (SELECT n FROM unnest($1::bigint[], $2::bigint[]) r(a, b), "
            "generate_series(r.a, r.b) n) l FULL JOIN (SELECT (payload->>'n')::bigint AS n FROM events) e "
            "USING (n) WHERE " +
                which,
            firsts, lasts)[0]
        .get<std::int64_t>(0);
  }
  void check_ledger() {
    std::vector<Numbers> all = ledger_.committed();
    EXPECT_EQ(noted(all, "e.n IS NULL"), 0) << "of what was committed this is not in the stream";
    const std::vector<Numbers> doubted = ledger_.doubted();
    all.insert(all.end(), doubted.begin(), doubted.end());
    EXPECT_EQ(noted(all, "l.n IS NULL"), 0) << "in the stream, and nobody has committed it";
    EXPECT_EQ(number("SELECT count(*) - count(DISTINCT payload->>'n') FROM events"), 0);
  }
  void decide_prepared() {
    pg::Session session = this->session();
    for (const pg::Row row : session.execute("SELECT gid FROM pg_prepared_xacts"))
      session.execute(fmt::format("ROLLBACK PREPARED '{}'", row.get<std::string>(0)));
  }
  /// Events of a group that are not as often there as they should be.
  std::int64_t wrong(const std::string& group, const std::string& times) {
    return number(fmt::format(
        "SELECT count(*) FROM events e FULL JOIN (SELECT event, count(*) AS times FROM effect WHERE "
        "group_name = '{}' "
        "GROUP BY event) f ON f.event = e.event_id WHERE e.event_id IS NULL OR NOT coalesce(f.times, 0) {}",
        group, times));
  }

  test::TestServer server_;
  test::ScratchFolder folder_{"stream-chaos"};
  test::Crew crew_{"ChaosConsumer.DISABLED_Run", folder_.path(), 6};
  Ledger ledger_;
  std::vector<std::jthread> producers_;
};

TEST_F(StreamChaosTest, EveryGroupHasWhatWasCommittedAndNothingElse) {
  const std::int64_t seconds = test::number_of("WEIR_CHAOS_SECONDS", 10);
  const Deadline end = Deadline::after(std::chrono::seconds(seconds));
  const auto seed = static_cast<std::uint64_t>(test::number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  for (std::size_t i = 0; i < crew_.size(); ++i) start(i);
  start_producers(seed, seconds);
  std::array<int, 5> faults{};
  while (!end.expired()) {
    std::this_thread::sleep_for(1ms * below(400));
    const std::size_t index = below(crew_.size());
    const std::size_t what = below(20);
    if (what < 3) {
      ++faults[4];
      crew_.stop(index);
      start(index);
    } else if (what < 12 || (what >= 16 && Producer::is_open_for_long())) {
      ++faults[0];
      crew_.kill(index);
      start(index);
    } else if (what < 16) {
      ++faults[1];
      freeze_one(index);
    } else if (what < 18) {
      ++faults[2];
      server_.restart();
    } else {
      ++faults[3];
      server_.kill();
      server_.start();
    }
  }
  producers_.clear();
  decide_prepared();
  check_ledger();

  for (const char* group : kGroups) {
    const std::string missing = fmt::format(
        "SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT FROM effect f WHERE f.group_name = '{}' AND "
        "f.event = "
        "e.event_id)",
        group);
    try {
      test::wait_until([&] { return number(missing) == 0; }, std::string(group) + " to have all",
                       seconds >= 60 ? 600s : 120s);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what() << ": " << number(missing) << " are missing";
    }
  }
  // A leased event whose effect is there, and whose handler had no answer to that, is still to come again.
  const char* pending =
      "SELECT (SELECT count(*) FROM weir.stream_work) + (SELECT count(*) FROM weir.stream_letter WHERE "
      "next_at "
      "IS NOT NULL)";
  test::wait_until([&] { return number(pending) == 0; }, "nothing to be left", 120s);
  crew_.stop_all();
  EXPECT_EQ(wrong("sql", "= 1"), 0);
  EXPECT_EQ(wrong("exact", "= 1"), 0);
  EXPECT_EQ(wrong("leased", ">= 1"), 0);
  EXPECT_EQ(number("SELECT count(*) FROM weir.stream_letter"), 0);
  crew_.expect_never_said("service ended");
  fmt::print(
      "chaos: seed {}, {} kills, {} freezes, {} restarts, {} crashes of the server, {} ends in order; {} "
      "events in {} "
      "chunks\n",
      seed, faults[0], faults[1], faults[2], faults[3], faults[4], number("SELECT count(*) FROM events"),
      number("SELECT count(*) FROM weir.stream_chunk"));
}

}  // namespace
}  // namespace weir::stream
