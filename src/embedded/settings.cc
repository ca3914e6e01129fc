#include "embedded/settings.h"

#include <algorithm>
#include <fstream>

#include <sys/statvfs.h>
#include <unistd.h>

#include <fmt/format.h>

namespace weir::embedded {

namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kGiB = 1024 * kMiB;

std::string megabytes(std::uint64_t bytes, std::uint64_t least, std::uint64_t most) {
  return fmt::format("{}MB", std::clamp(bytes, least, most) / kMiB);
}

/// The bound that a control group's file states; "max" and a missing file are no bound.
std::uint64_t bound_in(const std::string& file) {
  std::ifstream in(file);
  std::uint64_t bytes = 0;
  return in >> bytes ? bytes : UINT64_MAX;
}

std::uint64_t control_group_bound() {
  // Version 2 in a container shows the container's own group at the top; on a host our group has its path;
  // version 1 has a tree for memory alone.
  std::uint64_t bound = std::min(bound_in("/sys/fs/cgroup/memory.max"),
                                 bound_in("/sys/fs/cgroup/memory/memory.limit_in_bytes"));
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string path = line.substr(3); path.size() > 1; path.resize(path.rfind('/'))) {
      bound = std::min(bound, bound_in("/sys/fs/cgroup" + path + "/memory.max"));
    }
  }
  return bound;
}

}  // namespace

Machine this_machine() {
  Machine machine;
  const auto installed = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  machine.memory = std::min(installed, control_group_bound());
  struct statvfs shm {};
  if (::statvfs("/dev/shm", &shm) == 0) machine.shared_memory = shm.f_blocks * shm.f_frsize;
  return machine;
}

Settings settings_for(const Machine& machine, const ServerNeeds& needs) {
  Settings settings{
      {"listen_addresses", needs.tcp ? "127.0.0.1" : ""},
      {"port", std::to_string(needs.port)},
      {"unix_socket_directories", needs.socket_folder},
      // Its folder is private already; a folder that custom.conf names need not be, and the socket asks for
      // no password.
      {"unix_socket_permissions", "0700"},
      {"max_connections", "200"},
      {"password_encryption", "scram-sha-256"},

      // The server shares the machine with Weir and with whatever feeds it.
      {"shared_buffers", megabytes(machine.memory / 4, 32 * kMiB, 4 * kGiB)},
      {"effective_cache_size", megabytes(machine.memory / 2, 128 * kMiB, 256 * kGiB)},
      {"work_mem", megabytes(machine.memory / 256, 4 * kMiB, 64 * kMiB)},
      {"maintenance_work_mem", megabytes(machine.memory / 16, 32 * kMiB, kGiB)},
      {"max_wal_size", megabytes(machine.memory / 4, 512 * kMiB, 4 * kGiB)},
      {"wal_compression", "on"},
      {"random_page_cost", "1.1"},
      {"track_io_timing", "on"},

      // Work queues and loads make dead rows faster than the defaults expect.
      {"autovacuum_naptime", "15s"},
      {"autovacuum_vacuum_scale_factor", "0.1"},
      {"autovacuum_analyze_scale_factor", "0.05"},
      {"autovacuum_vacuum_cost_limit", "1000"},

      // A client that vanished without a word must not hold locks and snapshots for hours.
      {"tcp_keepalives_idle", "60s"},
      {"tcp_keepalives_interval", "10s"},
      {"tcp_keepalives_count", "6"},
      {"client_connection_check_interval", "10s"},
      // The user is called weir as our schema is: with "$user" in front, tables without a schema would land
      // among ours.
      {"search_path", "public"},
      {"idle_in_transaction_session_timeout", "1h"},

      // One file for each day of the week, emptied when its day comes again.
      {"logging_collector", "on"},
      {"log_destination", "stderr"},
      {"log_directory", needs.log_folder},
      {"log_filename", "postgresql-%a.log"},
      {"log_truncate_on_rotation", "on"},
      {"log_rotation_age", "1d"},
      {"log_rotation_size", "0"},
      {"log_line_prefix", "%m [%p] %q%u@%d %a "},
      {"log_lock_waits", "on"},
      {"lc_messages", "C"},
  };
  // Parallel queries fail with "could not resize shared memory segment" in containers, whose /dev/shm has 64
  // MB; System V memory does not come from there.
  if (machine.shared_memory < 256 * kMiB) settings["dynamic_shared_memory_type"] = "sysv";
  if (!needs.durable) {
    // Not synchronous_commit: the end of the process, which tests bring about, must lose nothing.
    settings["fsync"] = "off";
    settings["full_page_writes"] = "off";
  }
  return settings;
}

std::string quote_setting(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + "'";
}

std::string render_settings(const Settings& settings) {
  std::string out =
      "# Written by weir at each start of the server: put your own settings into custom.conf.\n";
  for (const auto& [name, value] : settings) out += fmt::format("{} = {}\n", name, quote_setting(value));
  return out + "include_if_exists = 'custom.conf'\n";
}

}  // namespace weir::embedded
