#include <atomic>
#include <map>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "pg/transaction.h"
#include "support/actions.h"
#include "support/load_test.h"
#include "support/waiting.h"

namespace weir::load {
namespace {

/// Pollers of all kinds look at a table whose rows say of themselves which version they are of: each answer
/// has to be one version, whole.
class LoadReadersTest : public test::LoadTest {
 protected:
  static constexpr int kRows = 400;
  static constexpr int kVersions = 4;

  void SetUp() override {
    LoadTest::SetUp();
    run("CREATE TABLE rate (id int PRIMARY KEY, version int, gone int); CREATE VIEW shown AS SELECT * FROM "
        "rate;"
        "INSERT INTO rate SELECT n, 0, n FROM generate_series(1, 400) n");
  }

  static std::string version(int v) {
    return "SELECT n, " + std::to_string(v) + ", n * 2 FROM generate_series(1, 400) n";
  }

  /// Rows and the versions among them.
  void judge(const pg::Result& answer, const char* who) {
    const auto rows = answer[0].get<std::int64_t>(0);
    const auto versions = answer[0].get<std::int64_t>(1);
    polls_.fetch_add(1);
    if (rows != kRows || versions != 1) {
      wrong_.fetch_add(1);
      last_wrong_ = who;
    }
  }

  void poll(int kind, const std::stop_token& stop) {
    const std::string count = "SELECT count(*), count(DISTINCT version) FROM " + seen_;
    pg::Session session = this->session();
    pids_[static_cast<std::size_t>(kind)] = session.backend_pid();
    switch (kind) {
      case 0:
      case 1:
        while (!stop.stop_requested()) judge(session.execute(count), "READ COMMITTED");
        break;
      case 2:
      case 3:
        while (!stop.stop_requested()) {
          pg::Transaction transaction(session, {.isolation = pg::Isolation::repeatable_read});
          const pg::Result first = session.execute("SELECT max(version)::int8 FROM " + seen_);
          judge(session.execute(count), "REPEATABLE READ");
          const pg::Result again = session.execute("SELECT max(version)::int8 FROM " + seen_);
          if (first[0].get<std::optional<std::int64_t>>(0) != again[0].get<std::optional<std::int64_t>>(0))
            wrong_.fetch_add(1);
          transaction.rollback();
        }
        break;
      case 4:
      case 5:
        session.execute("PREPARE look AS " + count);
        while (!stop.stop_requested()) judge(session.execute("EXECUTE look"), "EXECUTE");
        break;
      case 6:
        while (!stop.stop_requested()) {
          pg::Transaction transaction(session);
          session.execute("DECLARE c CURSOR FOR SELECT version FROM " + seen_);
          std::set<std::string> versions;
          int rows = 0;
          for (;;) {
            const pg::Result some = session.execute("FETCH 50 FROM c");
            if (some.rows() == 0) break;
            rows += some.rows();
            for (const pg::Row row : some) versions.insert(std::to_string(row.get<std::int32_t>(0)));
          }
          polls_.fetch_add(1);
          if (rows != kRows || versions.size() != 1) wrong_.fetch_add(1);
          transaction.rollback();
        }
        break;
      default:
        while (!stop.stop_requested())
          judge(session.execute("SELECT count(*), count(DISTINCT version) FROM shown"), "view");
    }
  }

  /// Which pollers wait for anybody.
  int waiting(pg::Session& session) {
    int count = 0;
    for (const int pid : pids_) {
      if (pid == 0) continue;
      count +=
          session.execute("SELECT cardinality(pg_blocking_pids($1::int4))", pid)[0].get<std::int32_t>(0) > 0
              ? 1
              : 0;
    }
    return count;
  }

  void under_pollers(const std::function<void()>& work) {
    std::vector<std::jthread> pollers;
    for (int kind = 0; kind < 8; ++kind) {
      pollers.emplace_back([this, kind](const std::stop_token& stop) {
        try {
          poll(kind, stop);
        } catch (const std::exception& error) {
          ADD_FAILURE() << "poller " << kind << ": " << error.what();
        }
      });
    }
    std::jthread sampler([this](const std::stop_token& stop) {
      pg::Session session = this->session();
      while (!stop.stop_requested()) waits_.fetch_add(waiting(session));
    });
    test::wait_until([&] { return polls_.load() > 50; }, "the pollers to look");
    work();
    const int now = polls_.load();
    test::wait_until([&] { return polls_.load() > now + 20; }, "the pollers to look again");
    sampler.request_stop();
    sampler.join();
    for (auto& poller : pollers) poller.request_stop();
    pollers.clear();
  }

  LoadSpec spec(Mode mode) {
    LoadSpec result{.mode = mode, .columns = {"id", "version", "gone"}, .key = {"id"}};
    result.guard.allow_mass_delete = true;
    return result;
  }

  /// Of which each reader has to see kRows of one version; `shown` is a view of the same.
  std::string seen_ = "rate";
  std::array<std::atomic<int>, 8> pids_{};
  std::atomic<int> polls_{0};
  std::atomic<int> wrong_{0};
  std::atomic<int> waits_{0};
  std::atomic<const char*> last_wrong_{""};
};

TEST_F(LoadReadersTest, RefreshUpsertAndWindowDisturbNoReader) {
  under_pollers([&] {
    for (int v = 1; v <= kVersions; ++v) {
      EXPECT_EQ(load("rate", spec(Mode::refresh), version(v)).updated, kRows);
      EXPECT_EQ(load("rate", spec(Mode::upsert), version(v + 100)).updated, kRows);
      LoadSpec window = spec(Mode::window);
      window.window = {"id", "0", "1000"};
      EXPECT_EQ(load("rate", window, version(v + 200)).updated, kRows);
      LoadSpec keyless = spec(Mode::refresh);
      keyless.key.clear();
      EXPECT_EQ(load("rate", keyless, version(v + 300)).inserted, kRows);
    }
  });
  EXPECT_EQ(wrong_.load(), 0) << last_wrong_.load();
  EXPECT_EQ(waits_.load(), 0);
}

TEST_F(LoadReadersTest, AHistoryDisturbsNoReader) {
  run("DROP VIEW shown; CREATE TABLE hist (id int, version int, gone int, valid_from timestamptz, valid_to "
      "timestamptz);"
      "CREATE UNIQUE INDEX ON hist (id) WHERE valid_to IS NULL;"
      "INSERT INTO hist SELECT n, 0, n, 'epoch' FROM generate_series(1, 400) n;"
      "CREATE VIEW shown AS SELECT * FROM hist WHERE valid_to IS NULL");
  seen_ = "(SELECT * FROM hist WHERE valid_to IS NULL) h";
  under_pollers([&] {
    for (int v = 1; v <= kVersions; ++v) EXPECT_EQ(load("hist", spec(Mode::scd2), version(v)).closed, kRows);
  });
  EXPECT_EQ(wrong_.load(), 0) << last_wrong_.load();
  EXPECT_EQ(waits_.load(), 0);
}

TEST_F(LoadReadersTest, AnAppendDisturbsNoReader) {
  run("DROP VIEW shown; CREATE TABLE log (id int, version int, gone int);"
      "INSERT INTO log SELECT n, 0, n FROM generate_series(1, 400) n;"
      "CREATE VIEW shown AS SELECT * FROM log WHERE version = (SELECT max(version) FROM log)");
  // Of a version that was there in part it would see fewer.
  seen_ = "(SELECT * FROM log WHERE version = (SELECT max(version) FROM log)) l";
  LoadSpec append = spec(Mode::append);
  append.key.clear();
  under_pollers([&] {
    for (int v = 1; v <= kVersions; ++v) EXPECT_EQ(load("log", append, version(v)).inserted, kRows);
  });
  EXPECT_EQ(wrong_.load(), 0) << last_wrong_.load();
  EXPECT_EQ(waits_.load(), 0);
}

TEST_F(LoadReadersTest, WhoLocksRowsWaitsForThoseAloneThatChange) {
  std::vector<std::string> seen;
  ApplyOptions options;
  options.on_event = [&](const ApplyEvent& event) {
    if (event.kind != ApplyEvent::Kind::writing || event.text != "insert") return;
    // The updates are done, and not committed.
    seen.push_back(rows("SELECT count(*) FROM (SELECT 1 FROM rate WHERE id > 10 FOR SHARE NOWAIT) r"));
    seen.push_back(rows("SELECT count(*) FROM (SELECT 1 FROM rate FOR SHARE SKIP LOCKED) r"));
    seen.push_back(rows("SELECT count(*) FROM rate WHERE version = 0"));
  };
  load("rate", spec(Mode::refresh),
       "SELECT n, CASE WHEN n <= 10 THEN 1 ELSE 0 END, n FROM generate_series(1, 401) n", options);
  EXPECT_EQ(seen, (std::vector<std::string>{"390", "390", "400"}));
}

TEST_F(LoadReadersTest, AReaderBehindASwapWaitsForItsLockTimeoutAtMost) {
  pg::Session old = session();
  pg::Transaction transaction(old);
  old.execute("SELECT count(*) FROM rate");
  pg::Session looker = session();
  std::atomic<bool> done{false};
  std::atomic<int> looks{0};
  {
    const std::jthread reader = test::in_background([&] {
      pg::Session session = this->session();
      while (!done.load()) {
        session.execute("SELECT count(*) FROM rate");
        ++looks;
      }
    });
    test::wait_until([&] { return looks.load() > 10; }, "the reader to look");
    // Behind the old reader, who stays, it would be for ever.
    int tries = 0;
    ApplyOptions options;
    options.swap_attempts = 5;
    options.on_event = [&](const ApplyEvent& event) {
      if (event.kind != ApplyEvent::Kind::retrying) return;
      ++tries;
      test::wait_until([&, before = looks.load()] { return looks.load() > before; }, "the reader to go on");
    };
    EXPECT_THROW(load("rate", spec(Mode::swap), version(1), options), Error);
    done = true;
    EXPECT_EQ(tries, 5);
  }
  EXPECT_EQ(looker.execute("SELECT count(*) FROM rate WHERE version = 0")[0].get<std::int64_t>(0), kRows);
}

// The checker bites: what the market does is found out.
TEST_F(LoadReadersTest, TruncateIsFoundOut) {
  under_pollers([&] {
    pg::Session loader = session();
    pg::Transaction transaction(loader);
    loader.execute("TRUNCATE rate");
    loader.execute("INSERT INTO rate " + version(7));
    pg::Session looker = session();
    test::wait_until([&] { return waiting(looker) >= 8; }, "the pollers to wait for TRUNCATE");
    test::wait_until([&] { return waits_.load() > 0; }, "the sampler to see it");
    transaction.commit();
  });
  EXPECT_GT(waits_.load(), 0);
  EXPECT_GT(wrong_.load(), 0);
}

TEST_F(LoadReadersTest, FourWritersInAnyOrderDoNotDeadlock) {
  std::atomic<int> retries{0};
  std::vector<std::jthread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.push_back(test::in_background([this, w, &retries] {
      for (int round = 0; round < 4; ++round) {
        ApplyOptions options;
        options.on_event = [&](const ApplyEvent& event) {
          if (event.kind == ApplyEvent::Kind::retrying) retries.fetch_add(1);
        };
        load("rate", spec(Mode::upsert),
             "SELECT n, " + std::to_string(w * 10 + round + 1) +
                 ", n FROM generate_series(1, 400) n ORDER BY random()",
             options);
      }
    }));
  }
  writers.clear();
  EXPECT_EQ(retries.load(), 0);
  EXPECT_EQ(number("SELECT count(DISTINCT version) FROM rate"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM weir.load_run WHERE state = 'applied'"), 16);
}

}  // namespace
}  // namespace weir::load
