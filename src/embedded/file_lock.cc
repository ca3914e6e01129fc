#include "embedded/file_lock.h"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/wait.h"
#include "embedded/files.h"

namespace weir::embedded {

namespace {

bool try_flock(int fd, int operation) {
  while (::flock(fd, operation | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) throw_errno("flock");
  }
  return true;
}

}  // namespace

FileLock::FileLock(std::filesystem::path file) : file_(std::move(file)) {
  // Which file it is would depend on where each process stands, and the lock would keep nobody out.
  if (!file_.is_absolute()) throw std::logic_error("a lock needs an absolute path, not: " + file_.string());
  fd_.reset(::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd_.valid()) throw_file_error("open", file_, errno);
}

FileLock::~FileLock() { release(); }

bool FileLock::try_exclusive() { return try_flock(fd_.get(), LOCK_EX); }
bool FileLock::try_shared() { return try_flock(fd_.get(), LOCK_SH); }
void FileLock::release() noexcept {
  if (fd_.valid()) ::flock(fd_.get(), LOCK_UN);
}

void FileLock::exclusive(const char* doing, Deadline deadline, const std::stop_token& stop) {
  // A blocking flock could be ended by neither a deadline nor a stop, so this asks again and again.
  constexpr Duration kSlowest = std::chrono::milliseconds(50);
  Duration pause = std::chrono::milliseconds(2);
  Wakeup wakeup;
  while (!try_exclusive()) {
    if (deadline.expired()) {
      throw Error(
          ExitCode::database,
          fmt::format("gave up waiting to {}: another weir process is starting or stopping it (lock {})",
                      doing, file_.string()),
          "Try again; if it does not end, look for the other process with: fuser " + file_.string());
    }
    const Deadline next = Deadline::after(pause).sooner(deadline);
    if (wait_fd(-1, 0, next, stop, wakeup) == WaitEnd::stopped) {
      throw Error(ExitCode::interrupted, fmt::format("stopped while waiting to {}", doing));
    }
    pause = std::min(pause * 2, kSlowest);
  }
}

}  // namespace weir::embedded
