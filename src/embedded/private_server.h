#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "embedded/file_lock.h"
#include "embedded/site.h"

namespace weir::embedded {

struct ServerOptions {
  std::filesystem::path project;
  std::optional<std::uint16_t> tcp_port;          ///< also listen on 127.0.0.1, with a password
  bool durable = true;                            ///< false: no fsync, for tests; kill -9 still loses nothing
  std::optional<std::filesystem::path> binaries;  ///< instead of the environment's WEIR_PG_BIN
  std::optional<std::string> user;                ///< instead of the environment's WEIR_PG_USER
  std::filesystem::path system_folder = "/var/lib/weir";
};

enum class ServerState {
  absent,        ///< no data yet
  stopped,       ///< data, no process
  starting,      ///< a process that does not take connections yet, or is ending
  running,       ///< it answers
  unresponsive,  ///< it says that it is ready, and does not answer
};
std::string_view name_of(ServerState state) noexcept;

struct ServerStatus {
  ServerState state = ServerState::absent;
  std::string url;                     ///< over the unix socket; known, if of no use yet, in every state
  std::optional<std::string> tcp_url;  ///< holds the password; only while it listens on TCP
  std::optional<int> major;            ///< the data's version of PostgreSQL
  std::optional<int> pid;
  std::optional<std::chrono::sys_seconds> started;
  bool kept = false;  ///< goes on when the last `weir up` ends
  std::string user;   ///< whom the server runs as
  std::filesystem::path data;
  std::filesystem::path logs;
  std::filesystem::path socket_folder;
  std::uint64_t bytes = 0;           ///< of the data folder
  std::vector<std::string> notices;  ///< what a person should be told, a clause each
};

/// Holds the server of a project in use. The last of all users, over all processes, stops it at release,
/// unless it was started to be kept. A user that is killed counts no more from that moment on.
class ServerUse {
 public:
  ServerUse(ServerUse&& other) noexcept;
  ServerUse(const ServerUse&) = delete;
  ServerUse& operator=(const ServerUse&) = delete;
  ~ServerUse();  ///< release with 30 s; a failure is logged

  [[nodiscard]] const ServerStatus& status() const noexcept { return status_; }
  /// Takes no stop token: it runs when everything has been asked to stop.
  void release(Deadline deadline);

 private:
  friend class PrivateServer;
  ServerUse(Site site, FileLock users, ServerStatus status);
  Site site_;
  std::optional<FileLock> users_;
  ServerStatus status_;
};

/// The private PostgreSQL server of a project folder, as files and processes are now: it holds nothing open,
/// and any number of them in any number of processes may act at once. Every wait ends at its deadline and at
/// a stop.
class PrivateServer {
 public:
  explicit PrivateServer(ServerOptions options);

  /// Changes nothing and waits for nobody, except two seconds for a server that does not answer.
  [[nodiscard]] ServerStatus status() const;
  /// `weir db start`: makes, starts or adopts it, and keeps it running.
  ServerStatus start(Deadline deadline, const std::stop_token& stop) const;
  /// `weir up`: the same, for as long as somebody uses it.
  ServerUse use(Deadline deadline, const std::stop_token& stop) const;
  /// `weir db stop`, whoever uses it. False when none ran.
  bool stop(Deadline deadline, const std::stop_token& stop) const;

 private:
  ServerStatus ensure_running(bool keep, Deadline deadline, const std::stop_token& stop) const;
  ServerOptions options_;
  Site site_;
};

}  // namespace weir::embedded
