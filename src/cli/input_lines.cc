#include "cli/input_lines.h"

#include <array>
#include <cerrno>
#include <system_error>

#include <poll.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::cli {

std::optional<std::string> InputLines::next() {
  for (;;) {
    if (const auto line = buffer_.next()) {
      ++number_;
      return std::string(*line);
    }
    if (buffer_.overlong()) {
      throw Error(ExitCode::usage, fmt::format("{}:{}: the line is longer than {}", what_, number_ + 1,
                                               human_bytes(kLongest)));
    }
    if (ended_) return std::nullopt;
    if (read_more()) continue;
    ended_ = true;
    // The last line may have no end.
    if (const std::string_view rest = buffer_.take_rest(); !rest.empty()) {
      ++number_;
      return std::string(rest);
    }
  }
}

bool InputLines::read_more() {
  std::array<char, std::size_t{64} << 10U> piece;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    if (wait_fd(fd_, POLLIN, Deadline::never(), stop_, wakeup_) == WaitEnd::stopped)
      throw Error(ExitCode::interrupted, "interrupted while reading " + what_);
    const ssize_t got = ::read(fd_, piece.data(), piece.size());
    if (got > 0) {
      buffer_.append({piece.data(), static_cast<std::size_t>(got)});
      return true;
    }
    if (got == 0) return false;
    if (errno == EINTR || errno == EAGAIN) continue;
    throw Error(ExitCode::failed, "cannot read " + what_ + ": " + std::generic_category().message(errno));
  }
}

}  // namespace weir::cli
