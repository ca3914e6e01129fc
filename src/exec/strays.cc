#include "exec/strays.h"

#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include <unistd.h>

#include "exec/pidfd.h"

namespace weir::exec {
namespace {

namespace fs = std::filesystem;

bool has_entry(const fs::path& process, std::string_view entry) {
  // Of others' processes it cannot be read, and of one that has ended it is empty.
  std::ifstream file(process / "environ", std::ios::binary);
  for (std::string word; std::getline(file, word, '\0');)
    if (word == entry) return true;
  return false;
}

/// `known` are those that were signalled before: it takes them a moment to go.
int kill_some(std::string_view entry, std::set<pid_t>& known) {
  int killed = 0;
  std::error_code failure;
  for (fs::directory_iterator process("/proc", failure), end; !failure && process != end;
       process.increment(failure)) {
    const std::string name = process->path().filename();
    pid_t pid = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (read.ec != std::errc() || read.ptr != name.data() + name.size() || pid == ::getpid() ||
        known.contains(pid)) {
      continue;
    }
    if (!has_entry(process->path(), entry)) continue;
    const UniqueFd held = open_pidfd(pid);
    // Only now is it certain that the number is still that process's.
    if (held.valid() && has_entry(process->path(), entry) && signal_pidfd(held, SIGKILL) == 0) {
      known.insert(pid);
      ++killed;
    }
  }
  return killed;
}

}  // namespace

int kill_strays(std::string_view entry) {
  std::set<pid_t> killed;
  // One that forks while we look may be missed the first time.
  for (int round = 0; round < 10; ++round) {
    if (kill_some(entry, killed) == 0) break;
  }
  return static_cast<int>(killed.size());
}

}  // namespace weir::exec
