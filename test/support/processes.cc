#include "support/processes.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "exec/process.h"

namespace weir::test {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// The fourth field of /proc/N/stat; the second one, the program's name, may hold anything but ends with the
/// last bracket. 0 when the process is gone.
pid_t parent_of(const std::string& stat) {
  const std::size_t name_end = stat.rfind(") ");
  if (name_end == std::string::npos || name_end + 4 >= stat.size()) return 0;
  pid_t parent = 0;
  std::from_chars(stat.data() + name_end + 4, stat.data() + stat.size(), parent);
  return parent;
}

}  // namespace

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    if (parent_of(contents(entry.path() / "stat")) == parent) children.push_back(pid);
  }
  return children;
}

bool gone(pid_t pid) {
  const auto process = exec::Process::find(pid);
  return !process || process->wait_end(Deadline::after(std::chrono::minutes(1)), {}) == WaitEnd::ready;
}

SigtermWaits::SigtermWaits() noexcept {
  sigset_t kept;
  sigemptyset(&kept);
  sigaddset(&kept, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &kept, &before_);
}

SigtermWaits::~SigtermWaits() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

pid_t in_process(const std::function<int()>& work) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  int status = 99;
  try {
    status = work();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
  }
  ::_exit(status);
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string describe_process(pid_t pid) {
  std::string command = contents(fmt::format("/proc/{}/cmdline", pid));
  if (command.empty()) command = contents(fmt::format("/proc/{}/comm", pid));
  std::replace(command.begin(), command.end(), '\0', ' ');
  return fmt::format("{} {}", pid, command.empty() ? "(ended)" : command);
}

}  // namespace weir::test
