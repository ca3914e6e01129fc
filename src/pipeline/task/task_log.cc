#include "pipeline/task/task_log.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::pipeline {
namespace {

/// Beside its text: a log of a million empty lines takes memory as well.
constexpr std::size_t kPerLine = sizeof(LogLine);

std::size_t weight(const LogLine& line) noexcept { return line.text.size() + kPerLine; }

}  // namespace

void TaskLog::append(LogStream stream, WallTime at, std::string_view line) {
  LogLine one{.number = 0, .stream = stream, .at = at, .text = std::string(line)};
  const MutexLock lock(mutex_);
  one.number = ++counts_.lines;
  // Once it is full it stays so, or a short line would overtake a long one.
  head_full_ = head_full_ || head_bytes_ + weight(one) > limits_.head_bytes;
  if (!head_full_) {
    head_bytes_ += weight(one);
    head_.push_back(std::move(one));
    return;
  }
  tail_bytes_ += weight(one);
  tail_.push_back(std::move(one));
  while (tail_bytes_ > limits_.tail_bytes && tail_.size() > 1) {
    ++counts_.lines_left_out;
    counts_.bytes_left_out += static_cast<std::int64_t>(tail_.front().text.size()) + 1;
    tail_bytes_ -= weight(tail_.front());
    tail_.pop_front();
  }
}

std::vector<LogLine> TaskLog::take_head() {
  const MutexLock lock(mutex_);
  return std::exchange(head_, {});
}

std::vector<LogLine> TaskLog::tail_after(std::int64_t number) const {
  const MutexLock lock(mutex_);
  const auto first = std::partition_point(tail_.begin(), tail_.end(),
                                          [&](const LogLine& line) { return line.number <= number; });
  return {first, tail_.end()};
}

TaskLog::Counts TaskLog::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void LogLines::append(std::string_view bytes, WallTime at) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, end);
    const std::size_t room = longest_ - std::min(longest_, line_.size());
    line_.append(piece.substr(0, room));
    cut_ += piece.size() - std::min(room, piece.size());
    if (end == std::string_view::npos) return;
    pass(at);
    bytes.remove_prefix(end + 1);
  }
}

void LogLines::finish(WallTime at) {
  if (!line_.empty() || cut_ > 0) pass(at);
}

void LogLines::pass(WallTime at) {
  if (cut_ == 0 && line_.ends_with('\r')) line_.pop_back();
  std::string text = clean_text(line_);
  if (cut_ > 0) text += fmt::format(" [{} bytes of this line left out]", cut_);
  sink_->append(stream_, at, text);
  line_.clear();
  cut_ = 0;
}

std::string clean_text(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const std::size_t length = bytes.front() == '\0' ? 0 : utf8_length(bytes);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out.append(bytes.substr(0, length));
    }
    bytes.remove_prefix(std::max<std::size_t>(1, length));
  }
  return out;
}

}  // namespace weir::pipeline
