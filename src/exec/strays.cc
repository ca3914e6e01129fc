#include "exec/strays.h"

#include <charconv>
#include <csignal>
#include <filesystem>
#include <fstream>
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

int kill_some(std::string_view entry) {
  int killed = 0;
  std::error_code failure;
  for (fs::directory_iterator process("/proc", failure), end; !failure && process != end;
       process.increment(failure)) {
    const std::string name = process->path().filename();
    pid_t pid = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (read.ec != std::errc() || read.ptr != name.data() + name.size() || pid == ::getpid()) continue;
    if (!has_entry(process->path(), entry)) continue;
    const UniqueFd held = open_pidfd(pid);
    // Only now is it certain that the number is still that process's.
    if (held.valid() && has_entry(process->path(), entry) && signal_pidfd(held, SIGKILL) == 0) ++killed;
  }
  return killed;
}

}  // namespace

int kill_strays(std::string_view entry) {
  int killed = 0;
  // One that forks while we look may be missed the first time.
  for (int round = 0; round < 10; ++round) {
    const int some = kill_some(entry);
    killed += some;
    if (some == 0) break;
  }
  return killed;
}

}  // namespace weir::exec
