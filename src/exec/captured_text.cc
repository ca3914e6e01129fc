#include "exec/captured_text.h"

#include <algorithm>

#include <fmt/format.h>

namespace weir::exec {

void CapturedText::append(std::string_view bytes) {
  total_ += bytes.size();
  const std::size_t to_head = std::min(bytes.size(), keep_head_ - head_.size());
  head_.append(bytes.substr(0, to_head));
  bytes.remove_prefix(to_head);
  if (bytes.size() > keep_tail_) bytes.remove_prefix(bytes.size() - keep_tail_);
  tail_.append(bytes);
  if (tail_.size() > 2 * keep_tail_) tail_.erase(0, tail_.size() - keep_tail_);
}

std::uint64_t CapturedText::left_out() const noexcept {
  return total_ - head_.size() - std::min(tail_.size(), keep_tail_);
}

std::string CapturedText::text() const {
  const std::string_view tail =
      std::string_view(tail_).substr(tail_.size() - std::min(tail_.size(), keep_tail_));
  if (left_out() == 0) return head_ + std::string(tail);
  return fmt::format("{}\n[{} bytes left out]\n{}", head_, left_out(), tail);
}

}  // namespace weir::exec
