// Six consumers of two sinks, one behind the other and of both kinds of ownership, under random deaths,
// freezes, sessions that end in any phase, a network that goes or is cut, and restarts of the server. A
// checker that knows nothing of the engine reads what was written: of attempts, and of effects. ./dev chaos
// runs it at full size.

#include <functional>
#include <map>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <fmt/format.h>

#include "group/sink_definition.h"
#include "schema/migrator.h"
#include "support/crew.h"
#include "support/server.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::group {
namespace {

using namespace std::chrono_literals;

/// What a group's session says while it is in a phase, or has said last; the sweeps are a phase too.
constexpr std::array kPhases{"pg_try_advisory_lock", "weir:take_group",          "weir:begin_batch",
                             "public.effect",        "weir:end_and_begin_batch", "weir:end_batch",
                             "weir:release_group",   "advisory_unlock",          "COMMIT",
                             "weir:renew_group",     "weir:recover_groups"};

/// Now and then a phase lasts long enough for somebody to find it.
constexpr const char* kLinger = R"(
CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$;
CREATE TRIGGER linger AFTER INSERT OR UPDATE OR DELETE ON weir.group_hold FOR EACH ROW WHEN (random() < 0.01)
  EXECUTE FUNCTION public.linger();
CREATE TRIGGER linger AFTER UPDATE OR DELETE ON weir.batch_step FOR EACH ROW WHEN (random() < 0.01)
  EXECUTE FUNCTION public.linger();
CREATE TRIGGER linger AFTER INSERT ON public.effect FOR EACH ROW WHEN (random() < 0.01) EXECUTE FUNCTION public.linger();
CREATE CONSTRAINT TRIGGER linger_in_commit AFTER INSERT OR UPDATE ON weir.batch_turn DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (random() < 0.01) EXECUTE FUNCTION public.linger())";

/// Attempts at a batch. Some fail each time, others are lost now and then.
constexpr int kMost = 8;
/// Between the moment that a sweep writes down and the end of its transaction, on a machine that is busy.
constexpr const char* kMargin = "interval '2 s'";
/// Through the gate go those from here on.
constexpr std::size_t kBehindGate = 4;

class GroupChaosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    schema::migrate(session);
    session.execute("UPDATE weir.feed SET lease_ms = 1000, backoff_ms = 1, max_attempts = " +
                    std::to_string(kMost));
    add_sink(session, {.feed = "default", .name = "inside"});
    add_sink(session, {.feed = "default", .name = "outside", .after = "inside"});
    session.execute(
        "CREATE TABLE public.effect (id bigint GENERATED ALWAYS AS IDENTITY, sink text, tenant text, key "
        "text, run_id "
        "bigint, idx int, attempt int, asked_at timestamptz)");
    session.execute_script(kLinger);
  }
  void TearDown() override {
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
    const bool inside = index % 2 == 0;
    crew_.start(index,
                {{"WEIR_CHAOS_SINK", inside ? "inside" : "outside"},
                 {"WEIR_CHAOS_PLACE", inside ? "inside" : "outside"},
                 {"WEIR_CHAOS_OWNERSHIP", index % 3 == 0 ? "advisory" : "lease"},
                 {"WEIR_CHAOS_URL", index < kBehindGate ? server_.conninfo().url()
                                                        : gate_.through(server_.tcp_conninfo()).url()}});
  }
  /// Two runs a group: the second one waits for the first.
  void submit(std::int64_t groups, std::int64_t batches) {
    pg::Session session = this->session();
    for (std::int64_t n = 0; n < batches; ++n) {
      session.execute(
          "SELECT weir.submit_batch('t' || g % 17, 'k' || g, '{}', 'r' || $1 / 10, ($1 % 10)::int4, $1 % 10 "
          "= 9 OR $1 "
          "= $2 - 1) FROM generate_series(1, $3) g",
          n, batches, groups);
    }
  }
  /// Ends the session of somebody who is just in that phase. Most are short: it is tried for a moment.
  bool cut(const std::string& phase) {
    pg::Session session = this->session();
    for (const Deadline end = Deadline::after(100ms); !end.expired();) {
      const auto rows = session.execute(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ "
          "'^weir:(group|recovery):' AND query LIKE '%' || $1 || '%' AND (state = 'active' OR state LIKE "
          "'idle in%' OR "
          "state_change > clock_timestamp() - interval '50 ms') LIMIT 1",
          phase);
      if (rows.rows() > 0) return true;
    }
    return false;
  }

  /// The network of those behind the gate: gone for longer than a lease, or its connections are cut, at once
  /// or somewhere in what goes on.
  void trouble_network(std::size_t what, std::size_t bytes) {
    if (what == 0) gate_.freeze();
    if (what == 1) gate_.cut_all();
    if (what == 2) gate_.cut_after(test::Way::to_server, bytes);
    if (what == 3) gate_.cut_after(test::Way::to_client, bytes);
    later(what == 0 ? 1500ms : 100ms, [this] { gate_.open(); });
  }
  void later(Duration span, std::function<void()> undo) {
    undone_.emplace(std::chrono::steady_clock::now() + span, std::move(undo));
  }
  /// What is due by then.
  void undo_until(SteadyTime time) {
    while (!undone_.empty() && undone_.begin()->first <= time) {
      undone_.begin()->second();
      undone_.erase(undone_.begin());
    }
  }

  /// Each is a question whose answer is a number of violations.
  void check() {
    const auto none = [&](const char* what, const std::string& sql) {
      EXPECT_EQ(number("SELECT count(*) FROM (" + sql + ") violations"), 0) << what;
    };
    // Of what was accepted; `at` puts the attempts of a sink in their order.
    const std::string attempts =
        "(SELECT a.*, r.tenant, r.key FROM weir.batch_attempt a JOIN weir.batch_run r ON r.id = a.run_id)";
    none("a batch has ended exactly once at each sink",
         "SELECT FROM weir.batch b CROSS JOIN weir.feed_sink k LEFT JOIN weir.batch_attempt a ON a.run_id = "
         "b.run_id "
         "AND a.idx = b.idx AND a.sink_id = k.id AND a.outcome IN ('succeeded', 'failed') GROUP BY b.run_id, "
         "b.idx, k.id "
         "HAVING count(a.outcome) <> 1 AND NOT (count(a.outcome) = 0 AND EXISTS (SELECT FROM weir.batch_turn "
         "t WHERE "
         "t.run_id = b.run_id AND t.sink_id = k.id AND t.failed))");
    none("a group has one owner at a time",
         "SELECT FROM (SELECT begun_at, max(ended_at) OVER (PARTITION BY sink_id, tenant, key ORDER BY "
         "begun_at, ended_at "
         "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM " +
             attempts + " a WHERE begun_at IS NOT NULL AND outcome <> 'lost') x WHERE before > begun_at");
    none("batches of a run succeed in their order",
         "SELECT FROM (SELECT idx, lag(idx, 1, -1) OVER (PARTITION BY sink_id, run_id ORDER BY ended_at) AS "
         "before FROM "
         "weir.batch_attempt WHERE outcome = 'succeeded') x WHERE idx <> before + 1");
    none("runs of a group come one after the other",
         "SELECT FROM (SELECT run_id, max(run_id) OVER (PARTITION BY sink_id, tenant, key ORDER BY ended_at) "
         "AS before "
         "FROM " +
             attempts + " a WHERE outcome = 'succeeded') x WHERE run_id < before");
    none("nothing of a run succeeds behind what failed",
         "SELECT FROM weir.batch_attempt f JOIN weir.batch_attempt s USING (run_id, sink_id) WHERE f.outcome "
         "= 'failed' "
         "AND s.outcome = 'succeeded' AND s.idx >= f.idx");
    none("a sink has nothing that the one before it has not",
         "SELECT FROM weir.batch_attempt s JOIN weir.feed_sink k ON k.id = s.sink_id AND k.after_id IS NOT "
         "NULL WHERE "
         "s.outcome = 'succeeded' AND NOT EXISTS (SELECT FROM weir.batch_attempt a WHERE a.sink_id = "
         "k.after_id AND "
         "a.run_id = s.run_id AND a.idx = s.idx AND a.outcome = 'succeeded' AND a.ended_at <= s.begun_at)");
    none("attempts are counted up, and not beyond the most",
         fmt::format(
             "SELECT FROM weir.batch_attempt WHERE attempt > {} UNION ALL SELECT FROM weir.batch_attempt "
             "WHERE begun_at IS NOT NULL AND outcome <> 'returned' AND outcome <> 'failed' GROUP BY run_id, "
             "sink_id, idx, attempt HAVING count(*) > 1",
             kMost));
    // At the first sink, where no other's failure ends it.
    none(
        "what fails each time is tried as often as it may",
        fmt::format(
            "SELECT FROM weir.batch_attempt a JOIN weir.feed_sink k ON k.id = a.sink_id AND k.name = "
            "'inside' "
            "WHERE (a.run_id * 31 + a.idx) % 397 = 0 AND a.outcome = 'failed' AND a.begun_at IS NOT NULL AND "
            "a.attempt <> {}",
            kMost));
    EXPECT_GT(number(fmt::format("SELECT count(*) FROM weir.batch_attempt WHERE attempt = {}", kMost)), 0);
    none("who has lost his group is told so when he asks",
         fmt::format(
             "SELECT FROM public.effect e JOIN weir.feed_sink k ON k.name = e.sink JOIN weir.batch_attempt a "
             "ON a.sink_id = k.id AND a.run_id = e.run_id AND a.idx = e.idx AND a.attempt = e.attempt WHERE "
             "e.sink = 'outside' AND a.outcome <> 'returned' GROUP BY e.id, e.asked_at HAVING e.asked_at > "
             "max(a.ended_at) + {}",
             kMargin));
    none("inside of the transaction: exactly once",
         "SELECT FROM (SELECT run_id, idx FROM weir.batch_attempt a JOIN weir.feed_sink k ON k.id = "
         "a.sink_id WHERE "
         "k.name = 'inside' AND outcome = 'succeeded') s FULL JOIN (SELECT run_id, idx FROM public.effect "
         "WHERE sink = "
         "'inside') e USING (run_id, idx) GROUP BY run_id, idx HAVING count(*) <> 1 OR count(s) = 0 OR "
         "count(e) = 0");
    none("outside of it: at least once",
         "SELECT FROM weir.batch_attempt a JOIN weir.feed_sink k ON k.id = a.sink_id WHERE k.name = "
         "'outside' AND outcome "
         "= 'succeeded' AND NOT EXISTS (SELECT FROM public.effect e WHERE e.sink = 'outside' AND e.run_id = "
         "a.run_id AND "
         "e.idx = a.idx AND e.attempt = a.attempt)");
    none("nobody has anything any more", "SELECT FROM weir.group_hold");
  }

  test::TestServer server_;
  std::multimap<SteadyTime, std::function<void()>>
      undone_;  // freezes and troubles of the network, and when they end
  test::TcpGate gate_{server_.port()};
  test::ScratchFolder folder_{"group-chaos"};
  test::Crew crew_{"ChaosGroup.DISABLED_Run", folder_.path(), 6};
};

TEST_F(GroupChaosTest, EveryBatchEndsInOrderAndOnceWhateverDies) {
  const std::int64_t groups = test::number_of("WEIR_CHAOS_GROUPS", 200);
  const Deadline end = Deadline::after(std::chrono::seconds(test::number_of("WEIR_CHAOS_SECONDS", 10)));
  const auto seed = static_cast<std::uint64_t>(test::number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };
  submit(groups, 20);
  for (std::size_t i = 0; i < crew_.size(); ++i) start(i);
  const char* left = "SELECT count(*) FROM weir.batch_step";
  std::array<int, 5> faults{};
  std::array<int, kPhases.size()> cuts{};
  while (!end.expired() && number(left) > 0) {
    std::this_thread::sleep_for(1ms * below(150));
    undo_until(std::chrono::steady_clock::now());
    const std::size_t index = below(crew_.size());
    const std::size_t what = below(20);
    if (what < 4) {
      ++faults[0];
      crew_.kill(index);
      start(index);
    } else if (what < 6) {
      // Past its lease, and for the others to take what it had.
      ++faults[1];
      crew_.freeze(index);
      later(below(3) == 0 ? 4000ms : 1500ms, [this, index] { crew_.thaw(index); });
    } else if (what < 9) {
      ++faults[4];
      trouble_network(below(4), below(4000));
    } else if (what < 19) {
      const std::size_t phase = below(kPhases.size());
      if (cut(kPhases.at(phase))) {
        ++faults[2];
        ++cuts.at(phase);
      }
    } else {
      ++faults[3];
      server_.restart();
    }
  }
  undo_until(SteadyTime::max());
  try {
    test::wait_until([&] { return number(left) == 0; }, "every batch to end", 120s);
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what() << ": " << number(left) << " are left, "
                  << number("SELECT count(*) FROM weir.group_hold") << " groups are held";
  }
  // Who died in the end has left his groups to the sweeps.
  test::wait_until([&] { return number("SELECT count(*) FROM weir.group_hold") == 0; },
                   "every group to be free", 30s);
  crew_.stop_all();
  check();
  crew_.expect_never_said("service ended");
  fmt::print(
      "chaos: seed {}, {} kills, {} freezes, {} sessions ended, {} restarts, {} troubles of the network; {} "
      "batches, "
      "{} attempts\n",
      seed, faults[0], faults[1], faults[2], faults[3], faults[4], number("SELECT count(*) FROM weir.batch"),
      number("SELECT count(*) FROM weir.batch_attempt WHERE attempt > 0"));
  for (std::size_t i = 0; i < kPhases.size(); ++i) fmt::print("  in {}: {}\n", kPhases.at(i), cuts.at(i));
}

}  // namespace
}  // namespace weir::group
