#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::work {

/// Cuts a stream into lines. Memory stays within the limit and one piece of the stream, as long as the caller
/// looks at overlong() after each append.
class LineBuffer {
 public:
  explicit LineBuffer(std::size_t limit) : limit_(limit) {}

  void append(std::string_view bytes);
  /// The next whole line without its end; it lives until the next append.
  std::optional<std::string_view> next();
  /// What is left has no line end yet and is longer than the limit.
  [[nodiscard]] bool overlong() const noexcept { return text_.size() - begin_ > limit_ && !has_line(); }
  /// What is left, as it stands.
  std::string_view take_rest();

 private:
  [[nodiscard]] bool has_line() const noexcept;

  std::size_t limit_;
  std::string text_;
  std::size_t begin_ = 0;    // of the next line
  std::size_t scanned_ = 0;  // no line end between begin_ and this, so that a long line is not searched again
};

}  // namespace weir::work
