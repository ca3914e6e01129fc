#include "exec/process.h"

#include <cerrno>
#include <fstream>
#include <iterator>

#include <poll.h>

#include <fmt/format.h>

#include "base/error.h"
#include "exec/pidfd.h"

namespace weir::exec {

std::optional<Process> Process::find(pid_t pid) {
  if (pid <= 0) return std::nullopt;
  UniqueFd fd = open_pidfd(pid);
  if (!fd.valid()) {
    // EINVAL, on newer kernels ENOENT: the number of a thread, or one that no process can have.
    if (errno == ESRCH || errno == EINVAL || errno == ENOENT) return std::nullopt;
    throw_errno("pidfd_open");
  }
  Process process(pid, std::move(fd));
  if (process.ended()) return std::nullopt;
  return process;
}

bool Process::ended() const { return wait_end(Deadline(SteadyTime::min()), {}) == WaitEnd::ready; }

WaitEnd Process::wait_end(Deadline deadline, const std::stop_token& stop) const {
  Wakeup wakeup;
  return wait_fd(fd_.get(), POLLIN, deadline, stop, wakeup);
}

bool Process::signal(int number) const {
  if (signal_pidfd(fd_, number) == 0) return true;
  if (errno == ESRCH) return false;
  if (errno != EPERM) throw_errno("pidfd_send_signal");
  throw Error(ExitCode::refused, fmt::format("process {} belongs to another user", pid_),
              "Run as that user, or as root.");
}

std::vector<std::string> Process::arguments() const {
  std::ifstream file(fmt::format("/proc/{}/cmdline", pid_), std::ios::binary);
  std::vector<std::string> out;
  for (std::string word; std::getline(file, word, '\0');) out.push_back(word);
  // Only now is it certain that the file was that of this process.
  return ended() ? std::vector<std::string>() : out;
}

std::optional<std::filesystem::path> Process::folder() const {
  std::error_code failure;
  auto folder = std::filesystem::read_symlink(fmt::format("/proc/{}/cwd", pid_), failure);
  if (failure || ended()) return std::nullopt;
  return folder;
}

}  // namespace weir::exec
