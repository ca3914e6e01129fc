#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

#include "base/wait.h"
#include "work/line_buffer.h"

namespace weir::cli {

/// The lines of a descriptor, one after the other, in bounded memory. Ends with Ctrl-C.
class InputLines {
 public:
  /// `what` is read, for errors.
  InputLines(int fd, std::stop_token stop, std::string what = "standard input")
      : fd_(fd), stop_(std::move(stop)), what_(std::move(what)), buffer_(kLongest) {}

  /// The next line without its end; nothing at the end of the input. Throws when it cannot be read, is too
  /// long (usage), or stop was requested (interrupted).
  std::optional<std::string> next();
  /// Of the line that next() answered last, counted from 1.
  [[nodiscard]] std::int64_t number() const noexcept { return number_; }

  /// PostgreSQL's own limit for a jsonb is a little less.
  static constexpr std::size_t kLongest = std::size_t{256} << 20U;

 private:
  /// False at the end of the input.
  bool read_more();

  int fd_;
  std::stop_token stop_;
  std::string what_;
  work::LineBuffer buffer_;
  Wakeup wakeup_;
  std::int64_t number_ = 0;
  bool ended_ = false;
};

}  // namespace weir::cli
