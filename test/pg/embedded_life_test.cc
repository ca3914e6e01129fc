#include <csignal>
#include <fstream>
#include <iterator>
#include <set>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "pg/embedded_fixture.h"

namespace weir::embedded {
namespace {

using std::chrono::milliseconds;

class EmbeddedLife : public EmbeddedServerTest {};

TEST_F(EmbeddedLife, LivesFromAbsentToStopped) {
  const PrivateServer server(options());
  EXPECT_EQ(server.status().state, ServerState::absent);
  EXPECT_FALSE(fs::exists(project_ / ".weir")) << "status changes nothing";
  EXPECT_FALSE(server.stop(soon(), {}));

  const ServerStatus running = server.start(soon(), {});
  EXPECT_EQ(running.state, ServerState::running);
  EXPECT_TRUE(running.kept);
  EXPECT_TRUE(running.notices.empty());
  EXPECT_GT(running.bytes, 1U << 20);
  EXPECT_FALSE(running.tcp_url);
  EXPECT_EQ(ask(running.url, "SELECT current_user, current_database(), current_setting('server_encoding')"),
            "weir|weir|UTF8");
  EXPECT_EQ(
      ask(running.url, "SELECT current_setting('max_connections'), current_setting('listen_addresses')"),
      "200|");
  EXPECT_EQ(ask(running.url, "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL"), "0");

  std::ifstream ignore(project_ / ".weir" / ".gitignore");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(ignore), {}), "*\n");
  struct stat sockets {};
  ASSERT_EQ(::stat(running.socket_folder.c_str(), &sockets), 0);
  EXPECT_EQ(sockets.st_mode & 0777, 0700U);
  EXPECT_NE(sockets.st_uid, 0U);

  EXPECT_EQ(server.start(soon(), {}).pid, running.pid) << "a second start adopts it";
  EXPECT_TRUE(server.stop(soon(), {}));
  EXPECT_TRUE(gone(*running.pid));
  const ServerStatus stopped = server.status();
  EXPECT_EQ(stopped.state, ServerState::stopped);
  EXPECT_EQ(stopped.url, running.url);
  EXPECT_FALSE(stopped.pid);
  EXPECT_FALSE(server.stop(soon(), {}));
}

TEST_F(EmbeddedLife, LeadsItsOwnSessionAndHoldsNothingOfOurs) {
  make_data();
  const int pid = *start().pid;
  EXPECT_EQ(::getsid(pid), pid);
  std::set<std::string> open;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    open.insert(fs::read_symlink(entry.path()).string());
  }
  for (const std::string& file : open) {
    EXPECT_FALSE(has(file, "pg-start.lock") || has(file, "pg-users.lock")) << file;
  }
  EXPECT_EQ(fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/0"), "/dev/null");
  EXPECT_NE(fs::read_symlink("/proc/" + std::to_string(pid) + "/fd/2"), fs::read_symlink("/proc/self/fd/2"));
}

TEST_F(EmbeddedLife, CustomSettingsWin) {
  make_data();
  std::ofstream(project_ / ".weir" / "pg" / "custom.conf") << "max_connections = 33\n";
  EXPECT_EQ(ask(start().url, "SHOW max_connections"), "33");
}

TEST_F(EmbeddedLife, OutlivesItsKilledStarterAndIsAdopted) {
  make_data();
  const pid_t starter = in_process([&] {
    const ServerUse use = server().use(soon(), {});
    return ::raise(SIGKILL);
  });
  EXPECT_EQ(status_of(starter), 128 + SIGKILL);
  const ServerStatus orphan = server().status();
  ASSERT_EQ(orphan.state, ServerState::running);
  EXPECT_FALSE(orphan.kept);
  {
    const ServerUse use = server().use(soon(), {});
    EXPECT_EQ(use.status().pid, orphan.pid);
  }
  EXPECT_TRUE(gone(*orphan.pid)) << "whoever was killed is no user any more";
}

TEST_F(EmbeddedLife, TheLastUserStopsIt) {
  make_data();
  std::optional<ServerUse> first = server().use(soon(), {});
  std::optional<ServerUse> second = server().use(soon(), {});
  const int pid = *first->status().pid;
  EXPECT_EQ(second->status().pid, pid);
  first.reset();
  EXPECT_EQ(server().status().state, ServerState::running);
  second.reset();
  EXPECT_TRUE(gone(pid));
  EXPECT_EQ(server().status().state, ServerState::stopped);
}

TEST_F(EmbeddedLife, AForkOfAUserHoldsNothing) {
  make_data();
  std::optional<ServerUse> use = server().use(soon(), {});
  const pid_t copy = in_process([] { return ::pause(); });
  use.reset();
  EXPECT_EQ(server().status().state, ServerState::stopped);
  EXPECT_NO_THROW(server().use(soon(), {}));
  ::kill(copy, SIGKILL);
  status_of(copy);
}

TEST_F(EmbeddedLife, WhatWasMovedAwayReleasesNothing) {
  make_data();
  const pid_t elsewhere = in_process([&] {
    fs::create_directory(base_ / "empty");
    fs::current_path(base_ / "empty");
    ServerUse use = server().use(soon(), {});
    { const ServerUse holder = std::move(use); }
    use.release(soon());
    return server().status().state == ServerState::stopped && fs::is_empty(base_ / "empty") ? 0 : 1;
  });
  EXPECT_EQ(status_of(elsewhere), 0);
}

TEST_F(EmbeddedLife, WhatWasKeptOutlivesItsUsers) {
  make_data();
  const int pid = *start().pid;
  { const ServerUse use = server().use(soon(), {}); }
  EXPECT_EQ(server().status().pid, pid);
  EXPECT_TRUE(server().stop(soon(), {}));
  { const ServerUse use = server().use(soon(), {}); }
  EXPECT_EQ(server().status().state, ServerState::stopped) << "stop took the mark away";
}

TEST_F(EmbeddedLife, KeepingCanBeDecidedWhileItIsUsed) {
  make_data();
  std::optional<ServerUse> use = server().use(soon(), {});
  EXPECT_TRUE(start().kept);
  use.reset();
  EXPECT_EQ(server().status().state, ServerState::running);
}

TEST_F(EmbeddedLife, ReleaseAfterSomebodyElsesStopIsNoError) {
  make_data();
  ServerUse use = server().use(soon(), {});
  EXPECT_TRUE(server().stop(soon(), {}));
  EXPECT_NO_THROW(use.release(soon()));
}

TEST_F(EmbeddedLife, StartedByManyAtOnceItIsOne) {
  std::vector<pid_t> starters;
  for (int i = 0; i < 5; ++i) {
    starters.push_back(in_process([&] { return start().state == ServerState::running ? 0 : 1; }));
  }
  for (const pid_t starter : starters) EXPECT_EQ(status_of(starter), 0);
  const ServerStatus status = server().status();
  EXPECT_EQ(status.state, ServerState::running);
  std::size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(project_ / ".weir" / "pg")) {
    if (entry.path().filename().string().starts_with("data")) ++entries;
  }
  EXPECT_EQ(entries, 1U);
}

TEST_F(EmbeddedLife, UsersMayComeAndGoAtOnce) {
  make_data();
  std::vector<pid_t> users;
  for (int i = 0; i < 3; ++i) {
    users.push_back(in_process([&] {
      for (int round = 0; round < 4; ++round) {
        ServerUse use = server().use(soon(), {});
        if (ask(use.status().url, "SELECT 1") != "1") return 1;
        use.release(soon());
      }
      return 0;
    }));
  }
  for (const pid_t user : users) EXPECT_EQ(status_of(user), 0);
  EXPECT_EQ(server().status().state, ServerState::stopped);
}

TEST_F(EmbeddedLife, TcpNeedsItsPassword) {
  make_data();
  // A free port, as the kernel sees it.
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  ServerOptions tcp = options();
  tcp.tcp_port = ntohs(address.sin_port);

  ASSERT_EQ(::listen(probe.get(), 1), 0);
  const Error taken = error_of([&] { PrivateServer(tcp).start(soon(), {}); });
  EXPECT_EQ(taken.exit_code(), ExitCode::database);
  EXPECT_TRUE(has(taken.what(), "port " + std::to_string(*tcp.tcp_port))) << taken.what();
  EXPECT_TRUE(has(taken.remedy(), "another port")) << taken.remedy();
  EXPECT_EQ(server().status().state, ServerState::stopped);
  ::shutdown(probe.get(), SHUT_RDWR);
  const_cast<UniqueFd&>(probe).reset();

  const ServerStatus status = PrivateServer(tcp).start(soon(), {});
  ASSERT_TRUE(status.tcp_url);
  EXPECT_EQ(ask(*status.tcp_url, "SELECT 1"), "1");
  EXPECT_EQ(ask(status.url, "SELECT 1"), "1");
  std::string wrong = *status.tcp_url;
  wrong.replace(wrong.find("weir:") + 5, 4, "zzzz");
  EXPECT_TRUE(has(ask(wrong, "SELECT 1"), "password authentication failed"));
  struct stat info {};
  ASSERT_EQ(::stat((project_ / ".weir" / "pg" / "password").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);

  EXPECT_EQ(start().pid, status.pid) << "no wish is no conflict";
  tcp.tcp_port = static_cast<std::uint16_t>(*tcp.tcp_port ^ 1);
  EXPECT_EQ(error_of([&] { PrivateServer(tcp).start(soon(), {}); }).exit_code(), ExitCode::refused);
}

TEST_F(EmbeddedLife, TheStartLockIsWaitedForNoLongerThanAllowed) {
  make_data();
  start();
  FileLock held(project_ / ".weir" / "pg-start.lock");
  ASSERT_TRUE(held.try_exclusive());
  const Error late = error_of([&] { server().start(Deadline::after(milliseconds(50)), {}); });
  EXPECT_EQ(late.exit_code(), ExitCode::database);
  std::stop_source source;
  source.request_stop();
  const Error stopped = error_of([&] { server().stop(soon(), source.get_token()); });
  EXPECT_EQ(stopped.exit_code(), ExitCode::interrupted);
}

}  // namespace
}  // namespace weir::embedded
