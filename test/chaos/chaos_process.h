#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/service.h"
#include "base/unique_fd.h"
#include "base/wait.h"

// What the processes have in common that chaos tests kill and freeze.

namespace weir::test {

inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

/// Microseconds since 1970: by the same clock as the server's, for it is the same machine.
inline std::int64_t wall_us() {
  return Clock::system().wall().time_since_epoch() / std::chrono::microseconds(1);
}

/// Lines of all processes in one file; each is one write, so that a death leaves it whole or out.
class HistoryFile {
 public:
  explicit HistoryFile(const std::string& path)
      : fd_(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644)) {}

  void add(std::string line) const {
    line.push_back('\n');
    if (::write(fd_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::abort();
  }

 private:
  UniqueFd fd_;
};

/// Works until the stop. Whoever is started while the server is away tries again.
inline void serve(Service& service, const std::stop_token& stop) {
  Wakeup unused;
  for (bool started = false; !started && !stop.stop_requested();) {
    try {
      service.start();
      started = true;
    } catch (const std::exception& error) {
      fmt::print("not started: {}\n", error.what());
      wait_fd(-1, 0, Deadline::after(std::chrono::milliseconds(100)), stop, unused);
    }
  }
  wait_fd(-1, 0, Deadline::never(), stop, unused);
  service.stop();
}

}  // namespace weir::test
