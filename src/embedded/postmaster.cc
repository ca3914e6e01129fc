#include "embedded/postmaster.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fcntl.h>

#include <fmt/format.h>

#include "base/error.h"
#include "embedded/cluster.h"
#include "embedded/files.h"
#include "embedded/ping.h"
#include "embedded/server_log.h"
#include "embedded/start_failure.h"
#include "exec/spawn.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

constexpr Duration kPingTime = std::chrono::seconds(2);
constexpr Duration kPause = std::chrono::milliseconds(20);

fs::path pid_file(const Site& site) { return site.data() / "postmaster.pid"; }
/// What the server says before it opens its own log.
fs::path start_log(const Site& site) { return site.logs() / "start.log"; }

std::optional<PostmasterFile> read_postmaster_file(const Site& site) {
  const auto text = read_small_file(pid_file(site));
  return text ? parse_postmaster_file(*text) : std::nullopt;
}

enum class Serves { this_data, other_data, nothing };

/// Only a server itself serves data, not its children.
Serves what_serves(const exec::Process& process, const fs::path& data) {
  const auto arguments = process.arguments();
  if (arguments.empty()) return Serves::nothing;
  const std::string program = fs::path(arguments.front()).filename();
  if (program != "postgres" && program != "postmaster") return Serves::nothing;
  std::error_code failure;
  if (const auto folder = process.folder())
    return fs::equivalent(*folder, data, failure) ? Serves::this_data : Serves::other_data;
  // A container may keep its root from looking into other users' processes.
  const bool named = std::find(arguments.begin(), arguments.end(), data.string()) != arguments.end();
  return named ? Serves::this_data : Serves::nothing;
}

std::optional<exec::Process> find_server(pid_t pid, const fs::path& data) {
  auto process = exec::Process::find(pid);
  if (process && what_serves(*process, data) != Serves::this_data) process.reset();
  return process;
}

/// A lock file of a server names its process. The next server would refuse to start when another process has
/// that number by now, when nobody has collected the dead one, or when the file is broken.
void disown(const fs::path& lock_file, const fs::path& data) {
  const auto text = read_small_file(lock_file);
  if (!text) return;
  if (const auto file = parse_postmaster_file(*text)) {
    const bool taken = ::kill(file->pid, 0) == 0 || errno == EPERM;
    if (!taken || find_server(file->pid, data)) return;
  } else {
    // A server makes it and writes it at once: one that stays broken was left by a crash in between.
    std::error_code failure;
    const auto age = fs::file_time_type::clock::now() - fs::last_write_time(lock_file, failure);
    if (failure || (age.count() >= 0 && age < std::chrono::seconds(1))) return;
  }
  write_file(lock_file, without_process(*text), false);
}

/// Also the last start's messages. Sockets stay: a server replaces what is dead, and another may be alive.
void clear_leftovers(const Site& site) {
  disown(pid_file(site), site.data());
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(site.socket_folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".s.PGSQL.") && name.ends_with(".lock")) disown(entry.path(), site.data());
  }
  fs::remove(start_log(site), ignored);
}

enum class Readiness { ready, ended, stopped, deadline };

Readiness await_ready(const Site& site, Postmaster& postmaster, Deadline deadline,
                      const std::stop_token& stop) {
  Duration pause = std::chrono::milliseconds(2);
  for (;;) {
    const WaitEnd end = postmaster.process.wait_end(Deadline::after(pause).sooner(deadline), stop);
    if (end == WaitEnd::stopped) return Readiness::stopped;
    if (end == WaitEnd::ready) return Readiness::ended;
    const auto file = read_postmaster_file(site);
    if (file && file->pid == postmaster.process.pid()) postmaster.file = *file;
    if (is_ready(postmaster, deadline, stop)) return Readiness::ready;
    if (deadline.expired()) return Readiness::deadline;
    pause = std::min(pause * 2, kPause);
  }
}

[[noreturn]] void throw_too_slow(const Site& site, const Postmaster& postmaster) {
  throw Error(ExitCode::database,
              fmt::format("the server (process {}) did not become ready in time{}{}; it goes on",
                          postmaster.process.pid(), postmaster.file.status.empty() ? "" : ", it is ",
                          postmaster.file.status),
              fmt::format("Try again later: after a crash it may have much to recover. The log is in {}.",
                          site.logs().string()));
}

/// Nothing when it ended at once.
std::optional<Postmaster> launch(const Site& site, const Binaries& binaries) {
  const fs::path log = start_log(site);
  const UniqueFd fd(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) throw_file_error("write", log, errno);
  exec::Command command;
  command.argv = {binaries.folder / "postgres", "-D", site.data()};
  command.env = server_environment();
  command.cwd = site.home;
  command.run_as = site.server_user;
  const pid_t pid = exec::spawn_detached(command, fd.get());
  auto process = exec::Process::find(pid);
  if (!process) return std::nullopt;
  return Postmaster{std::move(*process), {}};
}

}  // namespace

std::optional<Postmaster> find_postmaster(const Site& site) {
  const auto file = read_postmaster_file(site);
  if (!file) return std::nullopt;
  auto process = exec::Process::find(file->pid);
  const Serves serves = process ? what_serves(*process, site.data()) : Serves::nothing;
  if (serves == Serves::this_data) return Postmaster{std::move(*process), *file};
  // The file of a data folder that was copied while its server ran.
  if (serves == Serves::other_data) return std::nullopt;
  if (answers(socket_file(file->socket_folder, file->port), Deadline::after(kPingTime), {})) {
    throw Error(ExitCode::refused,
                fmt::format("a server answers in {}, but its process {} cannot be seen from here",
                            file->socket_folder, file->pid),
                "It probably runs in another container or on the host: stop it there, or connect to it by "
                "DATABASE_URL.");
  }
  return std::nullopt;
}

bool is_ready(const Postmaster& postmaster, Deadline deadline, const std::stop_token& stop) {
  const PostmasterFile& file = postmaster.file;
  return file.ready() && answers(socket_file(file.socket_folder, file.port),
                                 Deadline::after(kPingTime).sooner(deadline), stop);
}

Postmaster start_postmaster(const Site& site, const Binaries& binaries, Deadline deadline,
                            const std::stop_token& stop) {
  Wakeup wakeup;
  for (;;) {
    // Somebody without our lock may be faster: pg_ctl, or a server whose starter was killed before it wrote
    // its file.
    if (auto other = find_postmaster(site)) {
      if (auto ready = wait_ready(site, std::move(*other), deadline, stop)) return std::move(*ready);
    }
    clear_leftovers(site);
    const LogMark mark(site.logs());
    std::optional<Postmaster> postmaster = launch(site, binaries);
    switch (postmaster ? await_ready(site, *postmaster, deadline, stop) : Readiness::ended) {
      case Readiness::ready: return std::move(*postmaster);
      case Readiness::deadline: throw_too_slow(site, *postmaster);
      case Readiness::stopped:
        stop_postmaster(site, *postmaster, Deadline::after(std::chrono::seconds(5)), {});
        throw Error(ExitCode::interrupted, "stopped while the server was starting; it was ended again");
      case Readiness::ended: break;
    }
    const std::string news = final_news(mark, deadline, stop);
    if (find_postmaster(site)) continue;
    if (!may_pass(news) || deadline.expired()) throw start_error(site, news);
    const Deadline again = Deadline::after(std::chrono::milliseconds(200)).sooner(deadline);
    if (wait_fd(-1, 0, again, stop, wakeup) == WaitEnd::stopped) {
      throw Error(ExitCode::interrupted, "stopped while waiting for what a crashed server left to end");
    }
  }
}

std::optional<Postmaster> wait_ready(const Site& site, Postmaster postmaster, Deadline deadline,
                                     const std::stop_token& stop) {
  switch (await_ready(site, postmaster, deadline, stop)) {
    case Readiness::ready: return postmaster;
    case Readiness::ended: return std::nullopt;
    case Readiness::deadline: throw_too_slow(site, postmaster);
    case Readiness::stopped: break;
  }
  throw Error(ExitCode::interrupted, "stopped while waiting for the server");
}

void stop_postmaster(const Site& site, const Postmaster& postmaster, Deadline deadline,
                     const std::stop_token& stop) {
  const exec::Process& process = postmaster.process;
  process.signal(SIGINT);
  // One that was suspended would never see it.
  process.signal(SIGCONT);
  WaitEnd end = process.wait_end(deadline, stop);
  if (end == WaitEnd::deadline) {
    process.signal(SIGQUIT);
    end = process.wait_end(Deadline::after(std::chrono::seconds(10)), stop);
  }
  if (end == WaitEnd::stopped) {
    throw Error(ExitCode::interrupted,
                "stopped while waiting for the server's end; it is still shutting down");
  }
  if (end != WaitEnd::ready) {
    throw Error(
        ExitCode::database, fmt::format("the server (process {}) does not end", process.pid()),
        fmt::format("See the log in {}; as a last resort: kill -9 {}", site.logs().string(), process.pid()));
  }
  std::error_code ignored;
  if (site.socket_folder.parent_path() != site.home) fs::remove(site.socket_folder, ignored);
}

}  // namespace weir::embedded
