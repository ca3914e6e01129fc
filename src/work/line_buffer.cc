#include "work/line_buffer.h"

namespace weir::work {

void LineBuffer::append(std::string_view bytes) {
  text_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  text_.append(bytes);
}

std::optional<std::string_view> LineBuffer::next() {
  const std::size_t end = text_.find('\n', scanned_);
  if (end == std::string::npos) {
    scanned_ = text_.size();
    return std::nullopt;
  }
  const std::string_view line = std::string_view(text_).substr(begin_, end - begin_);
  begin_ = scanned_ = end + 1;
  return line;
}

bool LineBuffer::has_line() const noexcept { return text_.find('\n', scanned_) != std::string::npos; }

std::string_view LineBuffer::take_rest() {
  const std::string_view rest = std::string_view(text_).substr(begin_);
  begin_ = scanned_ = text_.size();
  return rest;
}

}  // namespace weir::work
