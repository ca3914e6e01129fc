#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace weir::pipeline {

enum class LogStream : std::uint8_t { out, err, weir };  ///< weir: what is said about the task

/// Takes what a task says, line by line: text without its line end, UTF-8, without zero bytes.
class LogSink {
 public:
  LogSink() = default;
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;
  virtual ~LogSink() = default;

  virtual void append(LogStream stream, WallTime at, std::string_view line) = 0;
};

struct LogLine {
  std::int64_t number = 0;  ///< from 1, without gaps but that of the middle
  LogStream stream = LogStream::out;
  WallTime at{};
  std::string text;
};

/// A log of any length in bounded memory: its first lines and its last ones, and how much was left out
/// between them. The head never changes again, so it can be stored while the task runs; the tail is a window.
/// One thread writes while others look.
class TaskLog final : public LogSink {
 public:
  struct Limits {
    std::size_t head_bytes = 256 * 1024;
    std::size_t tail_bytes = 768 * 1024;
  };
  struct Counts {
    std::int64_t lines = 0;  ///< in all
    std::int64_t lines_left_out = 0;
    std::int64_t bytes_left_out = 0;
  };

  TaskLog() : TaskLog(Limits{}) {}
  explicit TaskLog(Limits limits) : limits_(limits) {}

  void append(LogStream stream, WallTime at, std::string_view line) override;

  /// Lines of the head that were not taken before, for the caller to keep.
  std::vector<LogLine> take_head();
  /// The last lines behind the head, with higher numbers than `number`.
  [[nodiscard]] std::vector<LogLine> tail_after(std::int64_t number = 0) const;
  [[nodiscard]] Counts counts() const;

 private:
  const Limits limits_;
  mutable Mutex mutex_;
  std::vector<LogLine> head_ WEIR_GUARDED_BY(mutex_);
  std::deque<LogLine> tail_ WEIR_GUARDED_BY(mutex_);
  std::size_t head_bytes_ WEIR_GUARDED_BY(mutex_) = 0;
  std::size_t tail_bytes_ WEIR_GUARDED_BY(mutex_) = 0;
  bool head_full_ WEIR_GUARDED_BY(mutex_) = false;
  Counts counts_ WEIR_GUARDED_BY(mutex_);
};

/// Cuts a stream of bytes into lines for a sink, in bounded memory. A longer line is cut, and says by how
/// much; bytes that are no UTF-8, and zero bytes, become U+FFFD.
class LogLines {
 public:
  LogLines(LogSink& sink, LogStream stream, std::size_t longest = 16 * 1024)
      : sink_(&sink), stream_(stream), longest_(longest) {}

  void append(std::string_view bytes, WallTime at);
  /// The line that has no end yet.
  void finish(WallTime at);

 private:
  void pass(WallTime at);

  LogSink* sink_;
  LogStream stream_;
  std::size_t longest_;
  std::string line_;
  std::uint64_t cut_ = 0;
};

/// Valid UTF-8 that PostgreSQL's text can hold.
std::string clean_text(std::string_view bytes);

}  // namespace weir::pipeline
