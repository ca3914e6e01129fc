#include "embedded/server_status.h"

#include <cctype>

#include <unistd.h>

#include <fmt/format.h>

#include "embedded/cluster.h"
#include "embedded/postmaster.h"
#include "exec/file_identity.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

constexpr int kDefaultPort = 5432;

/// For the value of a parameter in a URL.
std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", byte);
    }
  }
  return out;
}

/// Files come and go while it looks: what is gone counts nothing.
std::uint64_t size_of(const fs::path& folder) {
  std::uint64_t bytes = 0;
  std::error_code failure;
  for (fs::recursive_directory_iterator it(folder, failure), end; !failure && it != end;
       it.increment(failure)) {
    std::error_code gone;
    if (it->is_regular_file(gone)) {
      const std::uintmax_t size = it->file_size(gone);
      if (!gone) bytes += size;
    }
  }
  return bytes;
}

ServerState state_of(const Postmaster& postmaster) {
  if (!postmaster.file.ready()) return ServerState::starting;
  return is_ready(postmaster, Deadline::never(), {}) ? ServerState::running : ServerState::unresponsive;
}

std::string user_name(const Site& site) {
  if (site.server_user) return site.server_user->name;
  const auto user = exec::find_user(::geteuid());
  return user ? user->name : std::to_string(::geteuid());
}

}  // namespace

std::string_view name_of(ServerState state) noexcept {
  switch (state) {
    case ServerState::absent: return "absent";
    case ServerState::stopped: return "stopped";
    case ServerState::starting: return "starting";
    case ServerState::running: return "running";
    case ServerState::unresponsive: return "unresponsive";
  }
  return "";
}

fs::path kept_mark(const Site& site) { return site.control / "pg-kept"; }

bool is_kept(const Site& site) {
  // The server's user may be unable to enter the project.
  const exec::FileIdentity as_owner(site.control_owner);
  std::error_code failure;
  return fs::exists(kept_mark(site), failure);
}

std::string socket_url(const fs::path& socket_folder, int port) {
  return fmt::format("postgresql://{0}@/{0}?host={1}&port={2}", kName,
                     percent_encoded(socket_folder.string()), port);
}

std::string tcp_url(std::string_view password, std::string_view address, int port) {
  // custom.conf may have it listen everywhere, which is no address to connect to.
  if (address == "*" || address == "0.0.0.0" || address == "::") address = "127.0.0.1";
  const bool v6 = address.find(':') != std::string_view::npos;
  return fmt::format("postgresql://{0}:{1}@{2}{3}{4}:{5}/{0}", kName, percent_encoded(password),
                     v6 ? "[" : "", address, v6 ? "]" : "", port);
}

ServerStatus read_status(const Site& site) {
  ServerStatus status;
  status.data = site.data();
  status.logs = site.logs();
  status.socket_folder = site.socket_folder;
  status.user = user_name(site);
  status.notices = site.notices;
  status.url = socket_url(site.socket_folder, kDefaultPort);
  status.major = data_major(site.data());
  if (!status.major) return status;

  status.bytes = size_of(site.data());
  const auto postmaster = find_postmaster(site);
  status.state = postmaster ? state_of(*postmaster) : ServerState::stopped;
  if (!postmaster) return status;
  const PostmasterFile& file = postmaster->file;
  status.pid = file.pid;
  status.started = std::chrono::sys_seconds(std::chrono::seconds(file.started));
  status.kept = is_kept(site);
  if (!file.socket_folder.empty()) {
    status.socket_folder = file.socket_folder;
    status.url = socket_url(file.socket_folder, file.port);
  }
  if (!file.listen_address.empty()) {
    status.tcp_url = tcp_url(read_password(site), file.listen_address, file.port);
  }
  return status;
}

}  // namespace weir::embedded
