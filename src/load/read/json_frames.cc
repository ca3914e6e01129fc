#include "load/read/json_frames.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::load {
namespace {

constexpr std::size_t kBlock = 256 * 1024;
constexpr std::size_t kHead = 64 * 1024;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

JsonFrames::JsonFrames(std::unique_ptr<ByteSource> source, JsonShape shape, std::size_t max_bytes,
                       const std::string& name)
    : source_(std::move(source)),
      shape_(shape),
      max_bytes_(max_bytes),
      long_message_(fmt::format("it is longer than {}, the limit for one record (--max-record)",
                                human_bytes(max_bytes))),
      place_(name.empty() ? "" : printable(name) + ": ") {}

std::optional<JsonFrame> JsonFrames::next() {
  if (!begun_) begin();
  return shape_ == JsonShape::array ? next_element() : next_line();
}

void JsonFrames::begin() {
  begun_ = true;
  while (end_ < kByteOrderMark.size() && fill()) {
  }
  if (std::string_view(buffer_.get(), end_).starts_with(kByteOrderMark))
    begin_ = scan_ = kByteOrderMark.size();
  if (shape_ == JsonShape::lines) return;
  const bool any = skip_space();
  const bool array = any && buffer_[begin_] == '[';
  if (shape_ == JsonShape::automatic) shape_ = array ? JsonShape::array : JsonShape::lines;
  if (shape_ == JsonShape::lines) return;
  if (!array) {
    throw Error(ExitCode::failed,
                fmt::format("{}line {}: a JSON array was expected, and there is no '['", place_, line_),
                "Read it as lines if each line is a record.");
  }
  pass(begin_ + 1);
}

std::optional<JsonFrame> JsonFrames::next_line() {
  for (;;) {
    const void* found = scan_ < end_ ? std::memchr(buffer_.get() + scan_, '\n', end_ - scan_) : nullptr;
    if (found != nullptr) {
      const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.get());
      if (std::optional<JsonFrame> frame = cut_line(at)) {
        // Cheaper than to look for the line's end once more.
        begin_ = scan_ = at + 1;
        ++line_;
        column_ = 1;
        return frame;
      }
      pass(at + 1);
      continue;
    }
    scan_ = end_;
    keep_bounded();
    if (fill()) continue;
    std::optional<JsonFrame> frame = cut_line(end_);
    begin_ = scan_ = end_;
    return frame;
  }
}

std::optional<JsonFrame> JsonFrames::cut_line(std::size_t end) {
  if (!long_ && end - begin_ > max_bytes_) start_long(end);
  if (long_) return cut_long();
  const char* const text = buffer_.get();
  if (std::all_of(text + begin_, text + end, is_space)) return std::nullopt;
  return cut(end);
}

std::optional<JsonFrame> JsonFrames::next_element() {
  if (!long_ && !skip_space()) {
    if (closed_) return std::nullopt;
    throw Error(ExitCode::failed,
                fmt::format("{}the JSON array has no end: the input breaks off at line {}", place_, line_),
                "Is the file complete?");
  }
  if (closed_) return cut_tail();
  if (buffer_[begin_] == ']' && (first_ || torn_)) {
    pass(begin_ + 1);
    closed_ = true;
    return next_element();
  }
  first_ = false;
  torn_ = false;
  for (;;) {
    if (const std::optional<std::size_t> at = scan_element()) {
      if (!long_ && *at - begin_ > max_bytes_) start_long(*at);
      const JsonFrame frame = long_ ? cut_long() : cut(*at);
      depth_ = 0;
      in_string_ = escaped_ = false;
      closed_ = !torn_ && buffer_[*at] == ']';
      pass(*at + 1);
      return frame;
    }
    keep_bounded();
    if (!fill()) {
      throw Error(
          ExitCode::failed,
          fmt::format(
              "{}the JSON array has no end: the input breaks off in the element that begins at line {}",
              place_, long_ ? head_line_ : line_),
          "Is the file complete?");
    }
  }
}

JsonFrame JsonFrames::cut_tail() {
  start_long(end_);
  JsonFrame frame = cut_long();
  frame.broken = "it stands after the end of the array";
  // One complaint is enough: nothing behind the array is a record.
  do {
    begin_ = scan_ = end_;
  } while (fill());
  return frame;
}

std::optional<std::size_t> JsonFrames::scan_element() {
  const char* const bytes = buffer_.get();
  std::size_t at = scan_;
  for (; at < end_; ++at) {
    const char c = bytes[at];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      // No string goes over the end of a line: here a quote is missing. What follows may be sound again.
      if (c == '\n') {
        torn_ = true;
        return at;
      }
      continue;
    }
    switch (c) {
      case '"': in_string_ = true; break;
      case '{':
      case '[': ++depth_; break;
      case '}':
        if (depth_ > 0) --depth_;
        break;
      case ']':
        if (depth_ == 0) return at;
        --depth_;
        break;
      case ',':
        if (depth_ == 0) return at;
        break;
      default: break;
    }
  }
  scan_ = at;
  return std::nullopt;
}

JsonFrame JsonFrames::cut(std::size_t end) const {
  return {.text = {buffer_.get() + begin_, end - begin_}, .line = line_, .column = column_};
}

JsonFrame JsonFrames::cut_long() {
  long_ = false;
  return {.text = head_, .line = head_line_, .column = head_column_, .broken = long_message_};
}

void JsonFrames::start_long(std::size_t until) {
  head_.assign(buffer_.get() + begin_, std::min(kHead, until - begin_));
  head_line_ = line_;
  head_column_ = column_;
  long_ = true;
}

void JsonFrames::keep_bounded() {
  if (!long_ && end_ - begin_ > max_bytes_) start_long(end_);
  if (long_) pass(end_);
}

bool JsonFrames::skip_space() {
  for (;;) {
    std::size_t at = begin_;
    while (at < end_ && is_space(buffer_[at])) ++at;
    pass(at);
    if (begin_ < end_) return true;
    if (!fill()) return false;
  }
}

void JsonFrames::pass(std::size_t to) {
  const char* const from = buffer_.get() + begin_;
  const char* const until = buffer_.get() + to;
  const auto lines = static_cast<std::uint64_t>(std::count(from, until, '\n'));
  if (lines == 0) {
    column_ += to - begin_;
  } else {
    line_ += lines;
    const char* last = until;
    while (last[-1] != '\n') --last;
    column_ = static_cast<std::uint64_t>(until - last) + 1;
  }
  begin_ = scan_ = to;
}

bool JsonFrames::fill() {
  if (at_end_) return false;
  if (begin_ > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    scan_ -= begin_;
    begin_ = 0;
  }
  if (capacity_ - end_ < kBlock / 2) {
    const std::size_t wanted = std::max(kBlock, std::min(capacity_ * 2, max_bytes_ + kBlock));
    const std::size_t capacity = std::max(wanted, end_ + kBlock);
    // make_unique would write all of it first.
    std::unique_ptr<char[]> larger(new char[capacity + kJsonPadding]);  // NOLINT(modernize-avoid-c-arrays)
    if (end_ > 0) std::memcpy(larger.get(), buffer_.get(), end_);
    std::memset(larger.get() + capacity, ' ', kJsonPadding);
    buffer_ = std::move(larger);
    capacity_ = capacity;
  }
  const std::size_t got = source_->read({buffer_.get() + end_, capacity_ - end_});
  at_end_ = got == 0;
  end_ += got;
  return !at_end_;
}

}  // namespace weir::load
