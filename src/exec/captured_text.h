#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::exec {

/// Output of any length in bounded memory: the first bytes, the last bytes, and how many were left out
/// between them.
class CapturedText {
 public:
  CapturedText(std::size_t keep_head, std::size_t keep_tail) : keep_head_(keep_head), keep_tail_(keep_tail) {}

  void append(std::string_view bytes);

  /// Head and tail; a line between them says how much is missing, if anything is.
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::uint64_t left_out() const noexcept;

 private:
  std::size_t keep_head_;
  std::size_t keep_tail_;
  std::uint64_t total_ = 0;
  std::string head_;
  std::string tail_;  // up to twice keep_tail_, so that it is cut once in a while instead of at each byte
};

}  // namespace weir::exec
