// Eight worker processes under random deaths, stops, cuts and restarts of the server. What they wrote down is
// judged by tools/check-history, which shares no code with us. ./dev chaos runs it at full size.

#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "exec/child.h"
#include "schema/migrator.h"
#include "support/processes.h"
#include "support/server.h"
#include "support/tcp_gate.h"
#include "support/waiting.h"

namespace weir::queue {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr std::size_t kProcesses = 8;
constexpr int kMaxAttempts = 1000;

std::int64_t number_of(const char* name, std::int64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : std::strtoll(value, nullptr, 10);
}

/// A process that runs ChaosWorker.Run.
pid_t start_worker(const std::map<std::string, std::string>& environment, const std::string& log) {
  const test::SigtermWaits from_its_first_moment;
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  const int out = ::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644);
  ::dup2(out, 1);
  ::dup2(out, 2);
  ::execl("/proc/self/exe", "weir_chaos_tests", "--gtest_filter=ChaosWorker.DISABLED_Run",
          "--gtest_also_run_disabled_tests", nullptr);
  ::_exit(127);
}

class QueueChaosTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pg::Session session = this->session();
    session.set("synchronous_commit", "on");
    schema::migrate(session);
    session.execute("CREATE TABLE public.effect (job int8, attempt int4)");
    session.execute("SELECT weir.queue_id('leased'), weir.queue_id('transactional')");
    // History has the attempt that was accepted.
    session.execute("UPDATE weir.queue SET max_attempts = $1, backoff_ms = 1, backoff_cap_ms = 1",
                    kMaxAttempts);
    session.execute("UPDATE weir.queue SET keep_days = 1 WHERE name = 'leased'");
    gate_.emplace(server_.port());
  }

  void TearDown() override {
    for (const pid_t worker : workers_) {
      if (worker == 0) continue;
      ::kill(worker, SIGKILL);
      ::kill(worker, SIGCONT);
      test::status_of(worker);
    }
    gate_.reset();
    if (HasFailure()) show_logs();
  }

  void show_logs() const {
    for (std::size_t i = 0; i < kProcesses; ++i) {
      std::ifstream log(log_of(i));
      std::vector<std::string> lines;
      for (std::string line; std::getline(log, line);) lines.push_back(line);
      const std::size_t from = lines.size() > 40 ? lines.size() - 40 : 0;
      for (std::size_t n = from; n < lines.size(); ++n) fmt::print("worker {}: {}\n", i, lines[n]);
    }
  }

  [[nodiscard]] std::string log_of(std::size_t index) const {
    return (folder_.path() / fmt::format("worker-{}", index)).string();
  }
  [[nodiscard]] pg::Session session() const {
    return pg::Connector(server_.conninfo(), {.users_search_path = true}).connect(pg::Role::api, "test");
  }
  /// The server may be away for a moment.
  template <class Action>
  auto with_session(Action action) {
    for (int failures = 0;; ++failures) {
      try {
        pg::Session session = this->session();
        session.set("synchronous_commit", "on");
        return action(session);
      } catch (const pg::ConnectionLost&) {
        if (failures == 5) throw;
      }
    }
  }
  std::int64_t count(const std::string& from) {
    return with_session([&](pg::Session& session) {
      return session.execute("SELECT count(*) FROM " + from)[0].get<std::int64_t>(0);
    });
  }

  /// A thread of a worker that ended is as bad as a worker that ended.
  void expect_that_no_service_ended() const {
    for (std::size_t i = 0; i < kProcesses; ++i) {
      std::ifstream log(log_of(i));
      for (std::string line; std::getline(log, line);) {
        EXPECT_EQ(line.find("service ended"), std::string::npos) << "worker " << i << ": " << line;
      }
    }
  }

  /// Every second one works transactionally, two of four through the gate.
  void start(std::size_t index) {
    const bool gated = index / 2 % 2 == 1;
    workers_[index] = start_worker(
        {{"WEIR_CHAOS_HISTORY", (folder_.path() / "history").string()},
         {"WEIR_CHAOS_MODE", index % 2 == 0 ? "leased" : "transactional"},
         {"WEIR_CHAOS_URL", gated ? gate_->through(server_.tcp_conninfo()).url() : server_.conninfo().url()}},
        log_of(index));
  }

  void enqueue(std::int64_t jobs) {
    enqueued_ += jobs;
    with_session([&](pg::Session& session) {
      session.execute(
          "SELECT count(weir.enqueue(CASE WHEN n % 2 = 0 THEN 'leased' ELSE 'transactional' END, NULL,"
          " delay => CASE WHEN n % 10 = 0 THEN interval '50 ms' END)) FROM generate_series(1, $1) n",
          jobs);
      return 0;
    });
  }

  /// Waits for some more work to be done; the pace of the faults is that of the work.
  void let_work(std::uintmax_t bytes) {
    const fs::path history = folder_.path() / "history";
    const auto size = [&] { return fs::exists(history) ? fs::file_size(history) : 0; };
    const std::uintmax_t before = size();
    const Deadline limit = Deadline::after(2s);
    test::wait_until([&] { return size() > before + bytes || limit.expired(); }, "work");
  }

  void kill_one(std::size_t index) {
    ::kill(workers_[index], SIGKILL);
    EXPECT_EQ(test::status_of(workers_[index]), 128 + SIGKILL) << "it ended by itself";
    start(index);
  }
  /// Frozen until the others have declared it dead, and a little longer.
  void freeze_one(std::size_t index) {
    const std::string name = fmt::format("name LIKE '%:{}'", workers_[index]);
    if (count("weir.process WHERE NOT dead AND " + name) == 0) return;
    ::kill(workers_[index], SIGSTOP);
    test::wait_until([&] { return count("weir.process WHERE NOT dead AND " + name) == 0; }, "a verdict");
    let_work(100);
    ::kill(workers_[index], SIGCONT);
  }

  /// Who could not sign off, or was declared dead while all of them stopped, is buried by the next that
  /// comes.
  void bury_the_last() {
    if (count("weir.process") == 0) return;
    const auto last = with_session([](pg::Session& session) {
      return session.execute("SELECT max(id) FROM weir.process")[0].get<std::int64_t>(0);
    });
    start(0);
    test::wait_until([&] { return count(fmt::format("weir.process WHERE id <= {}", last)) == 0; },
                     "the last to be buried", 60s);
    ::kill(workers_[0], SIGTERM);
    EXPECT_EQ(test::status_of(std::exchange(workers_[0], 0)), 0);
  }

  void expect_nothing_left() {
    for (const char* table :
         {"weir.job", "weir.job_claim", "weir.job_later", "weir.job_dead", "weir.job_slot", "weir.job_cancel",
          "weir.job_payload", "weir.process", "weir.listener"}) {
      EXPECT_EQ(count(table), 0) << table;
    }
    test::wait_until([&] { return count("pg_locks WHERE locktype = 'advisory'") == 0; }, "the locks to go");
    test::wait_until(
        [&] {
          return count("pg_stat_activity WHERE application_name LIKE 'weir:%' AND pid <> pg_backend_pid()") ==
                 0;
        },
        "the sessions to end");
  }

  std::int64_t enqueued_ = 0;
  test::TestServer server_;
  test::ScratchFolder folder_{"chaos"};
  std::optional<test::TcpGate> gate_;
  std::array<pid_t, kProcesses> workers_{};
};

TEST_F(QueueChaosTest, EveryJobIsDoneAndNoLateOutcomeIsAccepted) {
  const std::int64_t jobs = number_of("WEIR_CHAOS_JOBS", 5000);
  const Deadline end = Deadline::after(std::chrono::seconds(number_of("WEIR_CHAOS_SECONDS", 10)));
  const auto seed = static_cast<std::uint64_t>(number_of("WEIR_CHAOS_SEED", std::random_device{}()));
  fmt::print("[ seed     ] {}\n", seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
  };

  for (std::size_t i = 0; i < kProcesses; ++i) start(i);
  enqueue(jobs / 2);
  std::array<int, 5> faults{};
  for (int round = 0; !end.expired(); ++round) {
    // The rest comes in while they work, and sleep.
    if (round < 10) enqueue(jobs / 20);
    let_work(1000);
    const std::size_t index = below(kProcesses);
    const std::size_t what = below(20);
    if (what < 10) {
      ++faults[0];
      kill_one(index);
    } else if (what < 13) {
      ++faults[1];
      freeze_one(index);
    } else if (what < 17) {
      ++faults[2];
      if (what % 2 == 0) {
        gate_->cut_all();
      } else {
        gate_->cut_after(what < 15 ? test::Way::to_server : test::Way::to_client, below(4000));
      }
    } else if (what < 19) {
      ++faults[3];
      server_.restart();
    } else {
      ++faults[4];
      server_.kill();
      server_.start();
    }
  }
  gate_->open();
  const auto left = [&] {
    return count("weir.job") + count("weir.job_later") + count("weir.job_claim") +
           // Of a transaction that is not decided yet nothing is seen above.
           count(
               "pg_stat_activity WHERE application_name LIKE 'weir:task:%' AND state LIKE 'idle in "
               "transaction%'");
  };
  try {
    test::wait_until([&] { return left() == 0; }, "all jobs to be done",
                     std::chrono::seconds(60 + jobs / 200));
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what() << ": " << count("weir.job") << " wait, " << count("weir.job_later")
                  << " are due later, " << count("weir.job_claim") << " claims";
  }
  // Who declared a process dead may have died himself before he buried it: that takes another half a minute.
  // To count rows would not do: there may be one of a process just killed, and none yet of the one in its
  // place.
  const std::string present =
      fmt::format("weir.process WHERE NOT dead AND regexp_replace(name, '.*:', '')::int8 IN ({})",
                  fmt::join(workers_, ", "));
  test::wait_until([&] { return count(present) == kProcesses && count("weir.process") == kProcesses; },
                   "the dead to be buried", 60s);
  for (const pid_t worker : workers_) ::kill(worker, SIGTERM);
  for (pid_t& worker : workers_) EXPECT_EQ(test::status_of(std::exchange(worker, 0)), 0);
  bury_the_last();
  expect_nothing_left();
  expect_that_no_service_ended();

  const fs::path final_state = folder_.path() / "final";
  {
    std::ofstream out(final_state);
    pg::Session session = this->session();
    const auto rows = session.execute(
        "SELECT id, attempt::int4 FROM weir.job_done UNION ALL SELECT job, attempt FROM public.effect");
    for (const auto row : rows) out << row.get<std::int64_t>(0) << ' ' << row.get<std::int32_t>(1) << '\n';
    EXPECT_EQ(rows.rows(), enqueued_);
  }
  exec::Command command;
  command.argv = {WEIR_TEST_DIR "/../tools/check-history", std::to_string(kMaxAttempts), final_state.string(),
                  (folder_.path() / "history").string()};
  const exec::Outcome verdict = exec::run_command(command, Deadline::after(60s), {});
  EXPECT_TRUE(verdict.ok()) << verdict.out << verdict.err;
  const std::size_t line = verdict.out.rfind("history:");
  fmt::print("chaos: seed {}, {} kills, {} freezes, {} cuts, {} restarts, {} crashes of the server; {}", seed,
             faults[0], faults[1], faults[2], faults[3], faults[4],
             line == std::string::npos ? std::string("no history\n") : verdict.out.substr(line));
}

}  // namespace
}  // namespace weir::queue
