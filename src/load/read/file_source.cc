#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "base/wait.h"
#include "load/read/byte_source.h"

namespace weir::load {
namespace {

/// A file, a pipe, a terminal, a socket: whatever read(2) takes.
class DescriptorSource final : public ByteSource {
 public:
  DescriptorSource(UniqueFd fd, std::string name, std::stop_token stop)
      : fd_(std::move(fd)), name_(std::move(name)), stop_(std::move(stop)) {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) fail(errno);
    if (S_ISDIR(status.st_mode)) {
      throw Error(ExitCode::usage, fmt::format("{} is a folder", printable(name_)),
                  fmt::format("Name its files: '{}/*.csv'", name_));
    }
    waits_ = !S_ISREG(status.st_mode);
    if (!waits_) {
      // Standard input may be a file that somebody has read from already.
      const off_t at = std::max<off_t>(0, ::lseek(fd_.get(), 0, SEEK_CUR));
      total_ = static_cast<std::uint64_t>(std::max<off_t>(0, status.st_size - at));
      ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    }
  }

  std::size_t read(std::span<char> room) override {
    for (;;) {
      // Also of a pipe that nobody has opened for writing yet: it is readable when somebody has, not before.
      const WaitEnd end = wait();
      if (end == WaitEnd::stopped)
        throw Error(ExitCode::interrupted, fmt::format("stopped while reading {}", printable(name_)));
      if (end == WaitEnd::deadline) {
        idle_->act();
        continue;
      }
      const ssize_t got = ::read(fd_.get(), room.data(), room.size());
      if (got >= 0) {
        done_ += static_cast<std::uint64_t>(got);
        return static_cast<std::size_t>(got);
      }
      if (errno != EINTR && errno != EAGAIN) fail(errno);
    }
  }

  [[nodiscard]] ReadProgress progress() const override { return {done_, total_}; }
  void set_idle(Idle idle) override { idle_ = std::move(idle); }

 private:
  WaitEnd wait() {
    if (stop_.stop_requested()) return WaitEnd::stopped;
    if (!waits_) return WaitEnd::ready;
    return wait_fd(fd_.get(), POLLIN, idle_ ? idle_->until() : Deadline::never(), stop_, wakeup_);
  }
  [[noreturn]] void fail(int number) const {
    throw Error(ExitCode::failed,
                fmt::format("cannot read {} at byte {}: {}", printable(name_), done_, std::strerror(number)));
  }

  UniqueFd fd_;
  std::string name_;
  std::stop_token stop_;
  Wakeup wakeup_;
  std::optional<Idle> idle_;
  bool waits_ = false;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::string head, std::unique_ptr<ByteSource> rest)
      : head_(std::move(head)), size_(head_.size()), rest_(std::move(rest)) {}

  std::size_t read(std::span<char> room) override {
    if (at_ == head_.size()) {
      head_ = {};
      at_ = 0;
      return rest_ ? rest_->read(room) : 0;
    }
    const std::size_t count = std::min(room.size(), head_.size() - at_);
    std::memcpy(room.data(), head_.data() + at_, count);
    at_ += count;
    return count;
  }

  /// A head counts as read: it was, by whoever looked at it.
  [[nodiscard]] ReadProgress progress() const override {
    if (rest_) return rest_->progress();
    return {head_.empty() ? size_ : at_, size_};
  }
  void set_idle(Idle idle) override {
    if (rest_) rest_->set_idle(std::move(idle));
  }

 private:
  std::string head_;
  std::uint64_t size_;
  std::size_t at_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

Input file_input(const std::string& path, std::optional<std::uint64_t> bytes) {
  return {.name = path, .bytes = bytes, .open = [path](const std::stop_token& stop) {
            // A named pipe is opened without waiting for its writer: that wait would not end for a stop.
            UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
            if (!fd.valid()) {
              throw Error(ExitCode::usage,
                          fmt::format("cannot open {}: {}", printable(path), std::strerror(errno)));
            }
            return decompressed(open_descriptor(std::move(fd), path, stop), path, true);
          }};
}

struct Matches {
  explicit Matches(const std::string& pattern) { result = ::glob(pattern.c_str(), 0, nullptr, &found); }
  Matches(const Matches&) = delete;
  Matches& operator=(const Matches&) = delete;
  ~Matches() { ::globfree(&found); }
  glob_t found{};
  int result;
};

}  // namespace

std::vector<Input> file_inputs(const std::string& path_or_pattern) {
  struct stat status {};
  const auto size = [&status] {
    return S_ISREG(status.st_mode) ? std::optional(static_cast<std::uint64_t>(status.st_size)) : std::nullopt;
  };
  if (::stat(path_or_pattern.c_str(), &status) == 0) return {file_input(path_or_pattern, size())};
  const int number = errno;
  const Matches matches(path_or_pattern);
  std::vector<std::string> paths(matches.found.gl_pathv, matches.found.gl_pathv + matches.found.gl_pathc);
  // By bytes: glob sorts by the locale, and the order must be the same everywhere.
  std::sort(paths.begin(), paths.end());
  std::vector<Input> inputs;
  for (const std::string& path : paths) {
    if (::stat(path.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
      inputs.push_back(file_input(path, size()));
  }
  if (!inputs.empty()) return inputs;
  const bool is_pattern = path_or_pattern.find_first_of("*?[") != std::string::npos;
  throw Error(ExitCode::usage,
              is_pattern
                  ? fmt::format("no file matches {}", printable(path_or_pattern))
                  : fmt::format("cannot open {}: {}", printable(path_or_pattern), std::strerror(number)),
              "A relative name is looked up in the current folder.");
}

Input standard_input() {
  return {.name = "standard input", .open = [](const std::stop_token& stop) {
            UniqueFd fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
            if (!fd.valid()) throw Error(ExitCode::usage, "standard input is closed");
            return decompressed(open_descriptor(std::move(fd), "standard input", stop), "standard input");
          }};
}

Input memory_input(const std::string& name, std::string bytes) {
  const std::uint64_t size = bytes.size();
  return {.name = name, .bytes = size, .open = [name, bytes = std::move(bytes)](const std::stop_token&) {
            return decompressed(memory_source(bytes), name);
          }};
}

std::unique_ptr<ByteSource> memory_source(std::string bytes) {
  return std::make_unique<MemorySource>(std::move(bytes), nullptr);
}

std::unique_ptr<ByteSource> open_descriptor(UniqueFd fd, std::string name, std::stop_token stop) {
  return std::make_unique<DescriptorSource>(std::move(fd), std::move(name), std::move(stop));
}

std::string read_head(ByteSource& source, std::size_t most) {
  std::string head(most, '\0');
  std::size_t size = 0;
  while (size < most) {
    const std::size_t got = source.read(std::span(head).subspan(size));
    if (got == 0) break;
    size += got;
  }
  head.resize(size);
  return head;
}

std::unique_ptr<ByteSource> with_head(std::string head, std::unique_ptr<ByteSource> source) {
  if (head.empty()) return source;
  return std::make_unique<MemorySource>(std::move(head), std::move(source));
}

}  // namespace weir::load
