// Eight producers that commit out of order, and six consumers under random deaths, freezes and restarts of
// the server. What was committed is compared with what each group applied. ./dev chaos runs it at full size.

#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "pg/copy.h"
#include "pg/transaction.h"
#include "schema/migrator.h"
#include "schema/queries/streams.h"
#include "stream/stream.h"
#include "support/crew.h"
#include "support/server.h"
#include "support/waiting.h"

namespace weir::stream {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kProducers = 8;
constexpr std::array kGroups{"leased", "sql", "exact"};

/// Writes into the stream as the worst of users do, until it is stopped; a session that is lost is made anew.
/// Whether a commit in doubt happened is not its business: the table says.
class Producer {
 public:
  Producer(pg::Conninfo conninfo, std::uint64_t seed, bool large)
      : connector_(std::move(conninfo), {.users_search_path = true}), random_(seed), large_(large) {}

  void run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      try {
        pg::Session session = connector_.connect(pg::Role::api, "producer");
        while (!stop.stop_requested()) produce(session, stop);
      } catch (const pg::Error&) {
        std::this_thread::sleep_for(20ms);  // the server is away
      }
    }
  }

 private:
  std::size_t below(std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
  }
  void insert(pg::Session& session, std::size_t events) {
    // The producer's clock steps back and forth.
    session.execute(
        "INSERT INTO events (at, key, payload) SELECT now() + ($1::int - 500) * interval '1 s', 'k' || n % "
        "7, "
        "jsonb_build_object('n', n) FROM generate_series(1, $2::int) n",
        static_cast<std::int32_t>(below(1000)), static_cast<std::int32_t>(events));
  }
  void pause(const std::stop_token& stop) {
    // Mostly a millisecond, now and then seconds.
    const auto span = below(20) == 0 ? 100ms * below(30) : 1ms * below(20);
    Wakeup unused;
    wait_fd(-1, 0, Deadline::after(span), stop, unused);
  }
  void produce(pg::Session& session, const std::stop_token& stop) {
    const std::size_t what = below(20);
    if (what == 0 && large_) {
      session.execute(
          "INSERT INTO events (payload) SELECT jsonb_build_object('n', n) FROM generate_series(1, 20000) n");
      return;
    }
    pg::Transaction transaction(session);
    insert(session, 1 + below(30));
    if (what < 4) {
      session.execute("SAVEPOINT s");
      insert(session, 1 + below(30));
      session.execute(what < 2 ? "ROLLBACK TO SAVEPOINT s" : "RELEASE SAVEPOINT s");
      insert(session, 1);
    }
    pause(stop);
    if (what == 5) return;  // rolled back
    if (what == 6) {
      const std::string name = fmt::format("chaos-{}", random_());
      session.execute(fmt::format("PREPARE TRANSACTION '{}'", name));
      transaction.commit();  // of nothing: the server says that there is no transaction any more
      pause(stop);
      session.execute(fmt::format("{} PREPARED '{}'", below(2) == 0 ? "COMMIT" : "ROLLBACK", name));
      return;
    }
    transaction.commit();
  }

  const pg::Connector connector_;
  std::mt19937_64 random_;
  const bool large_;
};

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
  void start_producers(std::uint64_t seed) {
    for (std::size_t i = 0; i < kProducers; ++i) {
      producers_.emplace_back([this, seed, i](const std::stop_token& stop) {
        Producer(server_.conninfo(), seed + i, i == 0).run(stop);
      });
    }
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
  std::vector<std::jthread> producers_;
};

TEST_F(StreamChaosTest, EveryGroupHasWhatWasCommittedAndNothingElse) {
  const Deadline end = Deadline::after(std::chrono::seconds(test::number_of("WEIR_CHAOS_SECONDS", 10)));
  const auto seed = static_cast<std::uint64_t>(test::number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  for (std::size_t i = 0; i < crew_.size(); ++i) start(i);
  start_producers(seed);
  std::array<int, 4> faults{};
  while (!end.expired()) {
    std::this_thread::sleep_for(1ms * below(400));
    const std::size_t index = below(crew_.size());
    const std::size_t what = below(20);
    if (what < 12) {
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

  for (const char* group : kGroups) {
    const std::string missing = fmt::format(
        "SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT FROM effect f WHERE f.group_name = '{}' AND "
        "f.event = "
        "e.event_id)",
        group);
    try {
      test::wait_until([&] { return number(missing) == 0; }, std::string(group) + " to have all", 120s);
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
      "chaos: seed {}, {} kills, {} freezes, {} restarts, {} crashes of the server; {} events in {} chunks\n",
      seed, faults[0], faults[1], faults[2], faults[3], number("SELECT count(*) FROM events"),
      number("SELECT count(*) FROM weir.stream_chunk"));
}

}  // namespace
}  // namespace weir::stream
