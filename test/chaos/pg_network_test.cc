#include <array>
#include <fstream>
#include <functional>
#include <thread>

#include <gtest/gtest.h>

#include "pg/copy.h"
#include "pg/listener.h"
#include "pg/pipeline.h"
#include "pg/pool.h"
#include "pg/transaction.h"
#include "support/database.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::pg {
namespace {

using namespace std::chrono_literals;
using test::TcpGate;
using test::Way;

constexpr std::array<Oid, 1> kNetworkInt8{oid::kInt8};
constexpr Query kNetworkInsert{"chaos_insert", "INSERT INTO event VALUES ($1)", kNetworkInt8, {}};

/// A kibibyte figure of /proc/self/status, such as VmHWM, the most memory ever resident.
std::int64_t memory_kib(std::string_view field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field)) return std::stoll(line.substr(field.size() + 1));
  }
  throw std::runtime_error("no " + std::string(field));
}

class NetworkTest : public test::PgTest {
 protected:
  void SetUp() override {
    PgTest::SetUp();
    session().execute("CREATE TABLE event (id int8)");
    gate_.emplace(test::TestServer::shared().port());
  }
  void TearDown() override {
    gate_.reset();
    // A server process that runs a statement learns of a cut only when it next writes to its client.
    session().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir:api:gated'");
    PgTest::TearDown();
  }

  [[nodiscard]] Connector through_gate() const {
    return {gate_->through(tcp_conninfo()), {.users_search_path = true}};
  }
  [[nodiscard]] Session gated_session() const { return through_gate().connect(Role::api, "gated"); }
  std::int64_t events() { return session().execute("SELECT count(*) FROM event")[0].get<std::int64_t>(0); }

  std::optional<TcpGate> gate_;
};

/// One way to wait for the server. It gets a session through the gate and comes back only by an error.
struct Waiting {
  const char* name;
  void (*prepare)(Session& session);
  void (*wait)(Session& session);
};

void nothing(Session& /*session*/) {}

constexpr std::array kWaits{
    Waiting{"Statement", nothing, [](Session& on) { on.execute("SELECT pg_sleep(600)"); }},
    Waiting{"Answer", nothing, [](Session& on) { on.execute("SELECT repeat('x', 100000000)"); }},
    Waiting{"CopyIn", nothing,
            [](Session& on) {
              CopyIn copy(on, "COPY event FROM STDIN");
              const std::string rows = "1\n2\n3\n4\n5\n6\n7\n8\n";
              for (;;) copy.write(rows);
            }},
    Waiting{"CopyOut", nothing,
            [](Session& on) {
              CopyOut copy(on,
                           "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000000)) TO STDOUT");
              while (copy.next()) {
              }
            }},
    Waiting{"Pipeline", nothing,
            [](Session& on) {
              Pipeline pipeline(on, {&kNetworkInsert});
              Params params = Params::of(std::int64_t{1});
              for (;;) {
                pipeline.run(kNetworkInsert, params);
                pipeline.end_group();
              }
            }},
    Waiting{"Commit",
            [](Session& on) {
              on.execute("BEGIN");
              on.execute("INSERT INTO event VALUES (1)");
            },
            [](Session& on) { on.execute("SELECT pg_sleep(600)"); }},
};

class EveryWait : public NetworkTest, public ::testing::WithParamInterface<Waiting> {
 protected:
  /// Runs the wait; once bytes go both ways `disturb` comes in between.
  ErrorKind disturbed(std::stop_token stop, const std::function<void()>& disturb) {
    Session session = gated_session();
    GetParam().prepare(session);
    session.set_timeout(600s);
    session.set_stop(std::move(stop));
    const TcpGate::Counts before = gate_->counts();
    std::jthread other([&] {
      gate_->wait_for([&](const TcpGate::Counts& now) { return now.to_server > before.to_server + 16; },
                      "the session to send");
      disturb();
    });
    try {
      GetParam().wait(session);
    } catch (const Error& error) {
      EXPECT_FALSE(session.is_open());
      return error.kind();
    }
    throw std::runtime_error("it came to an end");
  }
};

TEST_P(EveryWait, EndsWhenTheConnectionIsCut) {
  EXPECT_EQ(disturbed({}, [&] { gate_->cut_all(); }), ErrorKind::lost);
}

TEST_P(EveryWait, EndsAtAStopThoughTheNetworkIsGone) {
  std::stop_source stop;
  const ErrorKind kind = disturbed(stop.get_token(), [&] {
    gate_->freeze();
    stop.request_stop();
  });
  EXPECT_EQ(kind, ErrorKind::stopped);
  gate_->open();
}

INSTANTIATE_TEST_SUITE_P(Waits, EveryWait, ::testing::ValuesIn(kWaits),
                         [](const auto& wait) { return wait.param.name; });

TEST_F(NetworkTest, ConnectingEndsAtAStopAndAtItsDeadline) {
  gate_->stop_accepting();
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THROW((void)through_gate().connect(Role::api, "x", {.stop = stop.get_token()}), Cancelled);
  try {
    (void)through_gate().connect(Role::api, "x", Limit::within(20ms));
    FAIL() << "connected";
  } catch (const ConnectionLost& error) {
    EXPECT_EQ(error.kind(), ErrorKind::connect);
    EXPECT_NE(std::string(error.what()).find("timed out"), std::string::npos) << error.what();
  }
}

TEST_F(NetworkTest, ConnectingToWhatIsNoServerIsSaid) {
  gate_->close_on_data(Way::to_server);
  try {
    (void)gated_session();
    FAIL() << "connected";
  } catch (const ConnectionLost& error) {
    EXPECT_EQ(error.kind(), ErrorKind::connect);
    EXPECT_NE(error.remedy(), "");
  }
}

TEST_F(NetworkTest, ACommitThatIsCutBeforeOrAfterTheServerIsInDoubt) {
  for (const Way way : {Way::to_server, Way::to_client}) {
    Session session = gated_session();
    Transaction transaction(session);
    session.execute("INSERT INTO event VALUES (1)");
    gate_->close_on_data(way);
    EXPECT_THROW(transaction.commit(), InDoubt);
  }
  // The request that was cut never arrived; the one whose answer was cut did its work. Neither client can
  // know.
  test::wait_until([&] { return events() == 1; }, "the transaction whose answer was cut");
}

TEST_F(NetworkTest, AHalfClosedConnectionIsALoss) {
  Session session = gated_session();
  gate_->half_close(Way::to_client);
  EXPECT_THROW(session.execute("SELECT 1"), ConnectionLost);
}

TEST_F(NetworkTest, CancellingIsBoundedThoughTheNetworkIsGone) {
  Session session = gated_session();
  const Canceller canceller = session.canceller();
  gate_->stop_accepting();
  EXPECT_FALSE(canceller.cancel(10ms));
  gate_->open();
}

TEST_F(NetworkTest, CopyIntoASlowServerKeepsLittleInMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  constexpr std::int64_t kTotal = std::int64_t{400} * 1024 * 1024;
  constexpr std::int64_t kAllowedKib = 32 * 1024;
  const std::string row = std::string(1023, 'x') + "\n";
  session().execute("CREATE UNLOGGED TABLE line (word text)");
  Session session = gated_session();
  std::int64_t rows = 0;
  // Other tests of this process have left their peak.
  std::ofstream("/proc/self/clear_refs") << "5";
  const auto before = memory_kib("VmRSS:");
  {
    CopyIn copy(session, "COPY line FROM STDIN");
    // The first bytes find a server that takes nothing at all: whoever queues without bound is full now.
    gate_->freeze();
    std::atomic<std::int64_t> written{0};
    std::jthread opener([&] {
      std::int64_t seen = -1;
      test::wait_until([&] { return std::exchange(seen, written.load()) == written && seen > 0; },
                       "the writer to block");
      EXPECT_LT(written, kTotal) << "the client queued everything";
      gate_->throttle(Way::to_server, std::uint64_t{200} * 1024 * 1024);
      gate_->open();
    });
    while (written < kTotal) {
      copy.write(row);
      written += static_cast<std::int64_t>(row.size());
    }
    rows = copy.finish();
  }
  EXPECT_EQ(rows, kTotal / static_cast<std::int64_t>(row.size()));
  EXPECT_LT(memory_kib("VmHWM:") - before, kAllowedKib);
}

TEST_F(NetworkTest, APoolRecoversWhenTheNetworkComesBack) {
  Pool pool(std::make_shared<const Connector>(gate_->through(tcp_conninfo())),
            {.name = "test", .role = Role::task, .size = 2, .overflow = 1});
  for (int round = 0; round < 3; ++round) {
    gate_->open();
    {
      Lease one = pool.lease();
      Lease two = pool.lease();
      one->execute("SELECT 1");
      gate_->cut_all();
      EXPECT_THROW(one->execute("SELECT 1"), ConnectionLost);
    }
    gate_->refuse();
    EXPECT_THROW((void)pool.lease(), ConnectionLost);
    gate_->open();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(pool.lease()->execute("SELECT 1").rows(), 1);
    EXPECT_EQ(pool.stats().active, 0U);
    EXPECT_EQ(pool.stats().connecting, 0U);
  }
}

TEST_F(NetworkTest, AServiceThatIsStartingEndsAtAStop) {
  gate_->stop_accepting();
  auto patient = std::make_shared<const Connector>(
      gate_->through(tcp_conninfo()), Connector::Options{.connect_timeout = 600s, .session = {}});
  Listener listener(patient, "test");
  ServiceGroup group("group");
  group.add(listener);
  std::atomic<bool> back{false};
  std::jthread starter([&] {
    EXPECT_NO_THROW(group.start());
    back = true;
  });
  // A stop before the start has begun is none: so again and again, until one met it.
  test::wait_until(
      [&] {
        group.stop();
        return back.load();
      },
      "the start to give up");
}

TEST_F(NetworkTest, APipelineIntoASlowServerKeepsLittleInMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory would be counted";
#endif
  Session session = gated_session();
  gate_->throttle(Way::to_server, std::uint64_t{200} * 1024 * 1024);
  const std::string large(std::size_t{1024} * 1024, 'x');
  const std::int64_t before = memory_kib("VmHWM:");
  Pipeline pipeline(session, {});
  for (int i = 0; i < 200; ++i) {
    Params params = Params::of(large);
    pipeline.execute("SELECT length($1::text)", params);
  }
  pipeline.finish();
  EXPECT_LT(memory_kib("VmHWM:") - before, 16 * 1024);
}

TEST_F(NetworkTest, APoolMayGoWhileSomebodyConnects) {
  gate_->stop_accepting();
  auto pool = std::make_unique<Pool>(std::make_shared<const Connector>(gate_->through(tcp_conninfo())),
                                     PoolOptions{.name = "test", .size = 1});
  std::stop_source stop;
  std::jthread borrower(
      [&, raw = pool.get()] { EXPECT_THROW((void)raw->lease({.stop = stop.get_token()}), Error); });
  test::wait_until([&] { return pool->stats().connecting == 1; }, "the borrower to connect");
  pool.reset();
  stop.request_stop();
}

}  // namespace
}  // namespace weir::pg
