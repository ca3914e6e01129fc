#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "embedded/private_server.h"
#include "pg/conninfo.h"

namespace weir::test {

/// A folder of the system's temporary folder, removed with all it holds. Any user may enter it, because the
/// server's user has to. What a killed run left behind is removed, and its servers stopped, by the next run.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& purpose);
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

/// A private PostgreSQL for tests: unix socket and TCP, no fsync. One that a test kills, stops or configures
/// is its own; all other tests share shared(). WEIR_PG_BIN chooses the version.
class TestServer {
 public:
  enum class Vacuum { as_usual, never_by_itself };
  explicit TestServer(Vacuum vacuum = Vacuum::as_usual);
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  /// Started at its first use and stopped after the last test of the program. No autovacuum comes: now and
  /// then it would hold locks in a test.
  static TestServer& shared();
  /// The same, if it was ever used.
  static TestServer* shared_if_started() noexcept;
  static void stop_shared();

  void start();
  void stop();
  void restart();
  /// SIGKILL to the postmaster, as when the machine runs out of memory; its children follow by themselves.
  void kill();
  /// SIGSTOP to all of its processes: it takes connections and never says a word, like a machine that hangs.
  void freeze();
  void thaw();
  /// ALTER SYSTEM; holds after the next restart().
  void configure(const std::map<std::string, std::string>& settings);

  [[nodiscard]] pg::Conninfo conninfo(const std::string& database = "weir") const;
  /// Over 127.0.0.1, password included.
  [[nodiscard]] pg::Conninfo tcp_conninfo(const std::string& database = "weir") const;
  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] int pid() const;
  /// As it was at the last start.
  [[nodiscard]] const embedded::ServerStatus& status() const noexcept { return status_; }

 private:
  void signal_all(int number) const;

  ScratchFolder folder_;
  int port_ = 0;
  std::optional<embedded::PrivateServer> server_;
  embedded::ServerStatus status_;
};

/// A TCP port of the loopback interface that nobody listens on.
int free_port();

}  // namespace weir::test
