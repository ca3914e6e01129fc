#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>

#include "embedded/binaries.h"
#include "pg/embedded_fixture.h"

namespace weir::embedded {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

BinarySearch search() {
  BinarySearch search;
  const char* const wanted = std::getenv("WEIR_PG_BIN");
  if (wanted != nullptr && *wanted != '\0') search.wanted = wanted;
  const char* const path = std::getenv("PATH");
  search.path = path == nullptr ? "" : path;
  return search;
}

class EmbeddedCrash : public EmbeddedServerTest {};

TEST_F(EmbeddedCrash, AWrongSettingIsQuotedFromTheLog) {
  make_data();
  std::ofstream(project_ / ".weir" / "pg" / "custom.conf") << "work_mem = 'plenty'\n";
  const Error error = error_of([&] { start(); });
  EXPECT_EQ(error.exit_code(), ExitCode::database);
  EXPECT_TRUE(has(error.what(), "work_mem") && has(error.what(), "plenty")) << error.what();
  EXPECT_TRUE(has(error.remedy(), "custom.conf")) << error.remedy();
}

TEST_F(EmbeddedCrash, RecoversACrashWithoutLosingCommittedRows) {
  make_data();
  const ServerStatus first = start();
  EXPECT_EQ(ask(first.url, "CREATE TABLE t AS SELECT 42 AS answer"), "");
  ASSERT_EQ(::kill(*first.pid, SIGKILL), 0);
  ASSERT_TRUE(gone(*first.pid));
  EXPECT_EQ(server().status().state, ServerState::stopped);
  const ServerStatus second = start();
  EXPECT_NE(second.pid, first.pid);
  EXPECT_EQ(ask(second.url, "SELECT answer FROM t"), "42");
}

TEST_F(EmbeddedCrash, WaitsForTheBackendsOfACrashedServer) {
  make_data();
  const ServerStatus first = start();
  // Busy in its own code, so that it does not notice the end of its parent before the query ends.
  exec::Command busy;
  busy.argv = {"psql",    "-XAtq", "-d",
               first.url, "-c",    "SELECT 'busy'; SELECT count(*) FROM generate_series(1, 15000000)"};
  exec::Child client(busy);
  while (ask(first.url,
             "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%15000000)' AND pid <> "
             "pg_backend_pid()") != "1") {
  }
  ASSERT_EQ(::kill(*first.pid, SIGKILL), 0);
  EXPECT_EQ(start().state, ServerState::running);
  client.wait(soon(), {});
}

TEST_F(EmbeddedCrash, NeverTakesAnotherProcessForTheServer) {
  make_data();
  const ServerStatus first = start();
  ASSERT_EQ(::kill(*first.pid, SIGKILL), 0);
  ASSERT_TRUE(gone(*first.pid));
  // The number of the dead server now belongs to this innocent process of the same user.
  exec::Command innocent;
  innocent.argv = {"sleep", "1000"};
  innocent.run_as = exec::find_user(first.user);
  const exec::Child child(innocent);
  for (const fs::path& file : {first.data / "postmaster.pid", first.socket_folder / ".s.PGSQL.5432.lock"}) {
    std::ifstream in(file);
    std::string text(std::istreambuf_iterator<char>(in), {});
    in.close();
    std::ofstream(file) << child.pid() << text.substr(text.find('\n'));
  }
  EXPECT_EQ(server().status().state, ServerState::stopped);
  EXPECT_FALSE(server().stop(soon(), {}));
  EXPECT_EQ(start().state, ServerState::running);
  EXPECT_TRUE(server().stop(soon(), {}));
  EXPECT_TRUE(exec::Process::find(child.pid())) << "the innocent process lives";
}

TEST_F(EmbeddedCrash, ABrokenLockFileIsNoObstacle) {
  make_data();
  for (const char* text : {"", "no number\n"}) {
    const ServerStatus running = start();
    ASSERT_EQ(::kill(*running.pid, SIGKILL), 0);
    ASSERT_TRUE(gone(*running.pid));
    // As of a server that was killed, or a machine that crashed, while the file was made.
    std::ofstream(running.data / "postmaster.pid", std::ios::trunc) << text;
    EXPECT_EQ(start().state, ServerState::running) << text;
  }
}

TEST_F(EmbeddedCrash, AServerThatAppearsInMidStartIsAdopted) {
  make_data();
  const fs::path real = find_binaries(search(), soon(), {}).folder;
  // The server of a starter that was killed writes its files while we are asking for the version.
  fs::create_directory(base_ / "bin");
  fs::create_symlink(real / "initdb", base_ / "bin" / "initdb");
  const fs::path data = project_ / ".weir" / "pg" / "data";
  std::ofstream(base_ / "bin" / "postgres")
      << "#!/bin/sh\n"
      << real.string() << "/pg_ctl -w -D " << data.string() << " start >/dev/null 2>&1 </dev/null\n"
      << "exec " << real.string() << "/postgres --version\n";
  fs::permissions(base_ / "bin" / "postgres", fs::perms(0755));
  start();
  server().stop(soon(), {});
  ServerOptions options = this->options();
  options.binaries = base_ / "bin";
  const ServerStatus status = PrivateServer(options).start(Deadline::after(seconds(20)), {});
  EXPECT_EQ(status.state, ServerState::running);
  EXPECT_EQ(ask(status.url, "SELECT 1"), "1") << "its socket is still there";
  std::ifstream file(data / "postmaster.pid");
  int pid = 0;
  file >> pid;
  EXPECT_EQ(pid, status.pid);
}

TEST_F(EmbeddedCrash, ASuspendedServerIsSeenAndStopped) {
  make_data();
  const ServerStatus running = start();
  ASSERT_EQ(::kill(*running.pid, SIGSTOP), 0);
  EXPECT_EQ(server().status().state, ServerState::unresponsive);
  const Error error = error_of([&] { server().start(Deadline::after(milliseconds(300)), {}); });
  EXPECT_EQ(error.exit_code(), ExitCode::database);
  EXPECT_TRUE(server().stop(soon(), {}));
  EXPECT_TRUE(gone(*running.pid));
}

TEST_F(EmbeddedCrash, AKilledStopIsWaitedForByTheNextStart) {
  make_data();
  const ServerStatus running = start();
  // Without it the server cannot finish its end.
  pid_t checkpointer = 0;
  for (const pid_t child : test::children_of(*running.pid)) {
    if (has(test::describe_process(child), "checkpointer")) checkpointer = child;
  }
  ASSERT_GT(checkpointer, 0);
  ASSERT_EQ(::kill(checkpointer, SIGSTOP), 0);
  const pid_t stopper = in_process([&] { return server().stop(soon(), {}) ? 0 : 1; });
  while (server().status().state != ServerState::starting) {
  }
  ASSERT_EQ(::kill(stopper, SIGKILL), 0);
  EXPECT_EQ(status_of(stopper), 128 + SIGKILL);
  const Error waiting = error_of([&] { server().start(Deadline::after(milliseconds(200)), {}); });
  EXPECT_TRUE(has(waiting.what(), "it is stopping")) << waiting.what();
  ASSERT_EQ(::kill(checkpointer, SIGCONT), 0);
  const ServerStatus next = start();
  EXPECT_EQ(next.state, ServerState::running);
  EXPECT_NE(next.pid, running.pid);
}

TEST_F(EmbeddedCrash, AFullDiskLeavesNothingBehind) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to mount a small disk";
  // In a namespace of its own, so that no mount can be left behind.
  const pid_t small = in_process([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", project_.c_str(), "tmpfs", 0, "size=12m,mode=0755") != 0) {
      return 77;
    }
    const Error error = error_of([&] { start(); });
    std::cerr << error.what() << "\n";
    if (error.exit_code() != ExitCode::database || !has(error.what(), "No space left on device")) return 1;
    if (!has(error.remedy(), "Make room")) return 2;
    if (server().status().state != ServerState::absent) return 3;
    for (const auto& entry : fs::directory_iterator(project_ / ".weir" / "pg")) {
      if (entry.path().filename() != "log") return 4;
    }
    return 0;
  });
  const int status = status_of(small);
  if (status == 77) GTEST_SKIP() << "this machine does not let us mount a small disk";
  EXPECT_EQ(status, 0);
}

TEST_F(EmbeddedCrash, AnInterruptedInitdbIsNoCluster) {
  // Killed as soon as its unfinished folder is there; its orphaned initdb may go on for a while.
  const pid_t starter = in_process([&] { return start().pid ? 0 : 1; });
  const auto staging = [&] {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(project_ / ".weir" / "pg", ignored)) {
      if (entry.path().filename().string().starts_with("data.new-") &&
          fs::exists(entry.path() / "base", ignored))
        return true;
    }
    return false;
  };
  while (!staging() && ::waitpid(starter, nullptr, WNOHANG) == 0) {
  }
  ::kill(starter, SIGKILL);
  ::waitpid(starter, nullptr, 0);
  EXPECT_EQ(server().status().state, ServerState::absent);
  EXPECT_EQ(ask(start().url, "SELECT 1"), "1");
}

TEST_F(EmbeddedCrash, AStopDuringInitdbLeavesNothing) {
  std::stop_source source;
  const std::jthread stopper([&] {
    while (!fs::exists(project_ / ".weir" / "pg" / "password")) {
    }
    source.request_stop();
  });
  const Error error = error_of([&] { server().start(soon(), source.get_token()); });
  EXPECT_EQ(error.exit_code(), ExitCode::interrupted) << error.what();
  EXPECT_EQ(server().status().state, ServerState::absent);
  for (const auto& entry : fs::directory_iterator(project_ / ".weir" / "pg"))
    EXPECT_EQ(entry.path().filename(), "log");
}

/// A server that never becomes ready: it says who it is in a file and sleeps.
class EmbeddedSlowStart : public EmbeddedServerTest {
 protected:
  EmbeddedSlowStart() {
    make_data();
    const Binaries real = find_binaries(search(), soon(), {});
    fs::create_directory(base_ / "bin");
    fs::create_directory(base_ / "mark");
    fs::permissions(base_ / "mark", fs::perms(0777));
    fs::create_symlink(real.folder / "initdb", base_ / "bin" / "initdb");
    std::ofstream(base_ / "bin" / "postgres")
        << "#!/bin/sh\ncase $1 in --version) exec " << real.folder.string() << "/postgres --version ;; esac\n"
        << "echo $$ > " << mark().string() << ".new; mv " << mark().string() << ".new " << mark().string()
        << "; exec sleep 1000\n";
    fs::permissions(base_ / "bin" / "postgres", fs::perms(0755));
  }

  [[nodiscard]] fs::path mark() const { return base_ / "mark" / "pid"; }
  [[nodiscard]] int pid() const {
    int pid = 0;
    std::ifstream(mark()) >> pid;
    return pid;
  }
  void end_it() const {
    const auto process = exec::Process::find(pid());
    if (process) process->signal(SIGKILL);
    EXPECT_TRUE(gone(pid()));
    fs::remove(mark());
  }
  /// With deadlines that grow until the server was begun: on a busy machine much comes before that.
  template <class Attempt>
  void until_begun(const Attempt& attempt) const {
    for (auto span = seconds(3); !fs::exists(mark()); span *= 3) {
      ASSERT_LT(span, seconds(100)) << "it is never begun";
      attempt(Deadline::after(span));
      for (const Deadline limit = Deadline::after(seconds(5)); !fs::exists(mark()) && !limit.expired();)
        ::poll(nullptr, 0, 2);
    }
  }
  Error start_error(Deadline deadline, const std::stop_token& stop) {
    ServerOptions slow = options();
    slow.binaries = base_ / "bin";
    return error_of([&] { PrivateServer(slow).start(deadline, stop); });
  }
};

TEST_F(EmbeddedSlowStart, AStopEndsTheServerAgain) {
  std::stop_source source;
  const std::jthread stopper([&] {
    while (!fs::exists(mark())) {
    }
    source.request_stop();
  });
  const Error error = start_error(soon(), source.get_token());
  EXPECT_EQ(error.exit_code(), ExitCode::interrupted) << error.what();
  EXPECT_TRUE(gone(pid()));
  EXPECT_EQ(server().status().state, ServerState::stopped);
}

TEST_F(EmbeddedSlowStart, ItsLifeIsMarkedFromTheBeginning) {
  const fs::path mark = project_ / ".weir" / "pg-kept";
  ServerOptions slow = options();
  slow.binaries = base_ / "bin";
  until_begun([&](Deadline deadline) {
    // Of a life before that ended in a crash.
    std::ofstream(mark).flush();
    error_of([&] { PrivateServer(slow).use(deadline, {}); });
  });
  EXPECT_FALSE(fs::exists(mark)) << "nobody keeps this one";
  end_it();
  until_begun([&](Deadline deadline) { start_error(deadline, {}); });
  EXPECT_TRUE(fs::exists(mark)) << "also when its starter is killed now";
  end_it();
}

TEST_F(EmbeddedSlowStart, ADeadlineLeavesItToItsRecovery) {
  std::optional<Error> error;
  until_begun([&](Deadline deadline) { error.emplace(start_error(deadline, {})); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->exit_code(), ExitCode::database);
  ASSERT_GT(pid(), 0) << error->what();
  EXPECT_TRUE(has(error->what(), "process " + std::to_string(pid()))) << error->what();
  EXPECT_TRUE(exec::Process::find(pid()));
  end_it();
}

TEST_F(EmbeddedSlowStart, AStopEndsTheWaitForOldProcesses) {
  // A server that says at each start that the one before still runs.
  std::ofstream(base_ / "bin" / "postgres", std::ios::trunc)
      << "#!/bin/sh\ncase $1 in --version) echo 'postgres (PostgreSQL) " << server().status().major.value()
      << ".1'; exit ;; esac\n"
      << "echo 'FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use' >&2\n"
      << "test -e " << mark().string() << ".1 && echo $$ > " << mark().string() << "\n"
      << "echo 1 > " << mark().string() << ".1; exit 1\n";
  std::stop_source source;
  const std::jthread stopper([&] {
    while (!fs::exists(mark())) {
    }
    source.request_stop();
  });
  const Error error = start_error(soon(), source.get_token());
  EXPECT_EQ(error.exit_code(), ExitCode::interrupted) << error.what();
}

}  // namespace
}  // namespace weir::embedded
