#include "embedded/private_server.h"

#include <cstdlib>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/log.h"
#include "embedded/binaries.h"
#include "embedded/cluster.h"
#include "embedded/files.h"
#include "embedded/postmaster.h"
#include "embedded/server_status.h"
#include "embedded/settings.h"
#include "exec/file_identity.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

std::optional<std::string> from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
}

ServerOptions completed(ServerOptions options) {
  if (!options.user) options.user = from_environment("WEIR_PG_USER");
  if (const auto folder = from_environment("WEIR_PG_BIN"); folder && !options.binaries)
    options.binaries = *folder;
  return options;
}

FileLock open_lock(const Site& site, const char* name) {
  const exec::FileIdentity as_owner(site.control_owner);
  return FileLock(site.control / name);
}

/// Serialises everything that starts or ends a server, over all processes.
FileLock lock_changes(const Site& site, const char* doing, Deadline deadline, const std::stop_token& stop) {
  FileLock lock = open_lock(site, "pg-start.lock");
  lock.exclusive(doing, deadline, stop);
  return lock;
}

FileLock open_users(const Site& site) { return open_lock(site, "pg-users.lock"); }

void set_kept(const Site& site, bool kept) {
  const exec::FileIdentity as_owner(site.control_owner);
  std::error_code failure;
  if (kept) {
    write_file(kept_mark(site), "", false);
  } else if (fs::remove(kept_mark(site), failure); failure) {
    throw_file_error("remove", kept_mark(site), failure.value());
  }
}

Binaries binaries_for(const ServerOptions& options, const Site& site, std::optional<int> major,
                      Deadline deadline, const std::stop_token& stop) {
  BinarySearch search;
  search.wanted = options.binaries;
  search.path = from_environment("PATH").value_or("/usr/bin:/bin");
  search.data = site.data();
  search.data_major = major;
  search.run_as = site.server_user;
  return find_binaries(search, deadline, stop);
}

void configure(const Site& site, const ServerOptions& options) {
  ServerNeeds needs;
  needs.socket_folder = site.socket_folder;
  needs.log_folder = site.logs();
  needs.durable = options.durable;
  needs.tcp = options.tcp_port.has_value();
  if (options.tcp_port) needs.port = *options.tcp_port;
  write_file(site.home / "weir.conf", render_settings(settings_for(this_machine(), needs)), options.durable);
  if (!read_small_file(site.home / "custom.conf")) {
    write_file(site.home / "custom.conf", "# Your own settings for this server; they win over weir.conf.\n",
               false);
  }
}

void require_port(const Postmaster& postmaster, std::optional<std::uint16_t> wanted) {
  const PostmasterFile& file = postmaster.file;
  if (!wanted || (!file.listen_address.empty() && file.port == *wanted)) return;
  const std::string now =
      file.listen_address.empty() ? "without TCP" : fmt::format("on TCP port {}", file.port);
  throw Error(ExitCode::refused,
              fmt::format("the server already runs {}, so it cannot take port {}", now, *wanted),
              "Stop it first with: weir db stop");
}

/// The server that runs or is just starting, once it is ready. Nothing when there is none, or it was ending.
std::optional<Postmaster> adopt(const Site& site, Deadline deadline, const std::stop_token& stop) {
  auto postmaster = find_postmaster(site);
  if (!postmaster) return std::nullopt;
  return wait_ready(site, std::move(*postmaster), deadline, stop);
}

void stop_server(const Site& site, const Postmaster& postmaster, Deadline deadline,
                 const std::stop_token& stop) {
  stop_postmaster(site, postmaster, deadline, stop);
  log::debug("private server stopped", {{"pid", postmaster.process.pid()}});
}

}  // namespace

PrivateServer::PrivateServer(ServerOptions options)
    : options_(completed(std::move(options))),
      site_(find_site(options_.project, options_.user, options_.system_folder)) {}

ServerStatus PrivateServer::status() const {
  const exec::FileIdentity as_server(site_.server_user);
  return read_status(site_);
}

ServerStatus PrivateServer::ensure_running(bool keep, Deadline deadline, const std::stop_token& stop) const {
  make_home(site_);
  const exec::FileIdentity as_server(site_.server_user);
  auto postmaster = adopt(site_, deadline, stop);
  if (postmaster) {
    require_port(*postmaster, options_.tcp_port);
    if (keep) set_kept(site_, true);
  } else {
    const auto major = data_major(site_.data());
    const Binaries binaries = binaries_for(options_, site_, major, deadline, stop);
    if (!major) make_cluster(site_, binaries, options_.durable, deadline, stop);
    make_private_folder(site_.socket_folder, site_.server_user, site_.server_user);
    configure(site_, options_);
    // The mark belongs to one life of the server. It is set before that begins: whoever is killed in between
    // leaves a server as it was meant to be, and none that has the old one's mark.
    set_kept(site_, keep);
    postmaster = start_postmaster(site_, binaries, deadline, stop);
    log::debug("private server started",
               {{"pid", postmaster->process.pid()}, {"version", binaries.version.text}});
  }
  return read_status(site_);
}

ServerStatus PrivateServer::start(Deadline deadline, const std::stop_token& stop) const {
  make_control_folder(site_);
  const FileLock lock = lock_changes(site_, "start the server", deadline, stop);
  return ensure_running(true, deadline, stop);
}

ServerUse PrivateServer::use(Deadline deadline, const std::stop_token& stop) const {
  make_control_folder(site_);
  const FileLock lock = lock_changes(site_, "start the server", deadline, stop);
  ServerStatus status = ensure_running(false, deadline, stop);
  FileLock users = open_users(site_);
  // Nobody holds it exclusively without the lock above.
  if (!users.try_shared()) throw Error(ExitCode::failed, "the list of the server's users is locked");
  return {site_, std::move(users), std::move(status)};
}

bool PrivateServer::stop(Deadline deadline, const std::stop_token& stop) const {
  if (!fs::exists(site_.control)) return false;
  const FileLock lock = lock_changes(site_, "stop the server", deadline, stop);
  const exec::FileIdentity as_server(site_.server_user);
  const auto postmaster = find_postmaster(site_);
  if (postmaster) stop_server(site_, *postmaster, deadline, stop);
  set_kept(site_, false);
  return postmaster.has_value();
}

ServerUse::ServerUse(Site site, FileLock users, ServerStatus status)
    : site_(std::move(site)), users_(std::move(users)), status_(std::move(status)) {}

ServerUse::ServerUse(ServerUse&& other) noexcept
    : site_(std::move(other.site_)),
      users_(std::exchange(other.users_, std::nullopt)),
      status_(std::move(other.status_)) {}

ServerUse::~ServerUse() {
  try {
    release(Deadline::after(std::chrono::seconds(30)));
  } catch (const std::exception& error) {
    log::warn("private server not stopped", {{"reason", error.what()}});
  }
}

void ServerUse::release(Deadline deadline) {
  if (!users_) return;
  FileLock ours = *std::exchange(users_, std::nullopt);
  const FileLock lock = lock_changes(site_, "stop the server", deadline, {});
  // Goes before the lock: the next who has the lock finds nobody in the way.
  FileLock users = std::move(ours);
  if (!users.try_exclusive()) return;
  const exec::FileIdentity as_server(site_.server_user);
  if (is_kept(site_)) return;
  if (const auto postmaster = find_postmaster(site_)) stop_server(site_, *postmaster, deadline, {});
}

}  // namespace weir::embedded
