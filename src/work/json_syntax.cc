#include "work/json_syntax.h"

#include <vector>

#include "base/text.h"

namespace weir::work {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Stands where the fault is when one of its functions answers false.
class Syntax {
 public:
  explicit Syntax(std::string_view text) : text_(text) {}

  [[nodiscard]] std::size_t at() const noexcept { return at_; }

  bool document() {
    do {
      if (!value()) return false;
    } while (!levels_.empty());
    skip_space();
    return at_ == text_.size();
  }

 private:
  /// What is there to the next value: up to it, or to the end of all levels.
  bool value() {
    skip_space();
    const char c = peek();
    if (c == '{' || c == '[') {
      ++at_;
      levels_.push_back(c == '{');
      skip_space();
      if (!take(c == '{' ? '}' : ']')) return c == '[' || key();
      levels_.pop_back();
    } else if (!scalar()) {
      return false;
    }
    return after_value();
  }

  bool after_value() {
    while (!levels_.empty()) {
      skip_space();
      if (take(',')) return !levels_.back() || key();
      if (!take(levels_.back() ? '}' : ']')) return false;
      levels_.pop_back();
    }
    return true;
  }

  bool key() {
    skip_space();
    if (peek() != '"' || !string()) return false;
    skip_space();
    return take(':');
  }

  bool scalar() {
    const char c = peek();
    if (c == '"') return string();
    if (c == '-' || is_digit(c)) return number();
    return c == 't' ? word("true") : c == 'f' ? word("false") : word("null");
  }

  bool word(std::string_view word) {
    for (const char c : word) {
      if (!take(c)) return false;
    }
    return true;
  }

  bool number() {
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    if (!take('e') && !take('E')) return true;
    if (!take('+')) take('-');
    return digits();
  }

  bool digits() {
    const std::size_t from = at_;
    while (is_digit(peek())) ++at_;
    return at_ > from;
  }

  bool string() {
    for (++at_; at_ < text_.size();) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c == '\\') {
        if (!escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) return false;
      const std::size_t length = utf8_length(text_.substr(at_, 4));
      if (length == 0) return false;
      at_ += length;
    }
    return false;
  }

  bool escape() {
    ++at_;
    const char c = peek();
    if (c != 'u') {
      if (c == '\0' || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) return false;
      ++at_;
      return true;
    }
    unsigned code = 0;
    if (!hex(code) || (code >= 0xDC00 && code <= 0xDFFF)) return false;
    if (code < 0xD800 || code > 0xDBFF) return true;
    if (!take('\\') || peek() != 'u') return false;
    return hex(code) && code >= 0xDC00 && code <= 0xDFFF;
  }

  /// From the u on.
  bool hex(unsigned& code) {
    code = 0;
    ++at_;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      const unsigned digit = is_digit(c)              ? static_cast<unsigned>(c - '0')
                             : (c >= 'a' && c <= 'f') ? static_cast<unsigned>(c - 'a') + 10U
                             : (c >= 'A' && c <= 'F') ? static_cast<unsigned>(c - 'A') + 10U
                                                      : 16U;
      if (digit > 15U) return false;
      code = code * 16U + digit;
    }
    return true;
  }

  [[nodiscard]] char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) noexcept {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_space() noexcept {
    while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<bool> levels_;  // whether each is an object
};

}  // namespace

std::optional<std::size_t> find_json_fault(std::string_view text) {
  Syntax syntax(text);
  if (syntax.document()) return std::nullopt;
  return syntax.at();
}

}  // namespace weir::work
