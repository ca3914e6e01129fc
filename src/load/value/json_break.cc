#include "load/value/json_break.h"

#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/text.h"
#include "load/value/decimal.h"

namespace weir::load {
namespace {

bool is_space(char c) noexcept { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/// Bytes of the number at the start of `text`; 0 where there is none.
std::size_t number_length(std::string_view text) noexcept {
  std::size_t at = 0;
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto digits = [&] {
    const std::size_t begin = at;
    while (is_digit(peek())) ++at;
    return at > begin;
  };
  if (peek() == '-') ++at;
  if (peek() == '0') {
    ++at;
  } else if (!digits()) {
    return 0;
  }
  if (peek() == '.') {
    ++at;
    if (!digits()) return 0;
  }
  if (peek() == 'e' || peek() == 'E') {
    ++at;
    if (peek() == '+' || peek() == '-') ++at;
    if (!digits()) return 0;
  }
  return at;
}

int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Walks over one value without recursion: the depth is the input's to choose.
class Walk {
 public:
  Walk(std::string_view text, const JsonRules& rules) : text_(text), rules_(rules) {}

  std::optional<JsonBreak> run() {
    skip_space();
    if (at_ == text_.size()) return fault("there is no value");
    if (!value()) return fault_;
    while (!open_.empty()) {
      if (!inside()) return fault_;
    }
    skip_space();
    if (at_ < text_.size()) return fault(fmt::format("{} stands after the end of the value", found()));
    return std::nullopt;
  }

 private:
  /// The next member or element, or the end, of what is open.
  bool inside() {
    skip_space();
    if (at_ == text_.size()) {
      return no(open_.back() == '{' ? "it ends in the middle of an object"
                                    : "it ends in the middle of an array");
    }
    const char close = open_.back() == '{' ? '}' : ']';
    if (text_[at_] == close) {
      if (after_comma_) return no(fmt::format("a comma stands before '{}'", close));
      ++at_;
      open_.pop_back();
      after_value_ = true;
      return true;
    }
    if (after_value_) {
      if (text_[at_] != ',') return no(fmt::format("',' or '{}' was expected, not {}", close, found()));
      ++at_;
      after_value_ = false;
      after_comma_ = true;
      return true;
    }
    after_comma_ = false;
    if (open_.back() == '{' && !key()) return false;
    return value();
  }

  bool key() {
    if (text_[at_] != '"') return no(fmt::format("a key in quotes was expected, not {}", found()));
    if (!string()) return false;
    skip_space();
    if (at_ == text_.size() || text_[at_] != ':') {
      return no(fmt::format("':' was expected after the key, not {}", found()));
    }
    ++at_;
    skip_space();
    return true;
  }

  bool value() {
    if (at_ == text_.size()) return no("it ends where a value was expected");
    const char c = text_[at_];
    if (c == '{' || c == '[') {
      if (open_.size() == rules_.depth)
        return no(fmt::format("it is nested deeper than {} levels", rules_.depth));
      open_.push_back(c);
      ++at_;
      after_value_ = false;
      return true;
    }
    if (!(c == '"' ? string() : scalar())) return false;
    after_value_ = true;
    return true;
  }

  bool scalar() {
    const std::string_view rest = text_.substr(at_);
    const std::size_t length = number_length(rest);
    if (length == 0) {
      for (const std::string_view word : {"true", "false", "null"}) {
        if (rest.starts_with(word)) return take(word.size());
      }
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
        if (rest.starts_with(word)) return no(fmt::format("JSON has no {}", word));
      }
      return no(fmt::format("a value was expected, not {}", found()));
    }
    if (rules_.jsonb && !fits_numeric(*parse_decimal(rest.substr(0, length))))
      return no("a number beyond numeric, which jsonb cannot hold");
    return take(length);
  }

  /// A word or a number ends where something else begins.
  bool take(std::size_t length) {
    const std::size_t end = at_ + length;
    if (end < text_.size() && !is_space(text_[end]) && text_[end] != ',' && text_[end] != ']' &&
        text_[end] != '}') {
      if (text_[at_] == '0' && is_digit(text_[end])) return no("a number begins with 0");
      return no(fmt::format("a value was expected, not {}", found()));
    }
    at_ = end;
    return true;
  }

  bool string() {
    const std::size_t begin = at_++;
    while (at_ < text_.size()) {
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c < 0x20) return no("a control character stands in a string, where JSON wants \\u00..");
      if (c == '\\') {
        if (!escape()) return false;
      } else if (c < 0x80 || !rules_.utf8) {
        ++at_;
      } else {
        const std::size_t length = utf8_length(text_.substr(at_));
        if (length == 0) return no(fmt::format("the byte 0x{:02x} is not UTF-8", c));
        at_ += length;
      }
    }
    at_ = begin;
    return no("a string that begins here has no end");
  }

  bool escape() {
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (c != 'u') {
      if (c == '\0' || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) {
        return no("a backslash stands before something that it does not escape");
      }
      at_ += 2;
      return true;
    }
    const int first = unit(at_);
    if (first < 0) return no("\\u wants four hexadecimal digits");
    if (first == 0 && rules_.jsonb) return no("\\u0000, which jsonb cannot hold");
    if (!rules_.pairs) {
      at_ += 6;
      return true;
    }
    if (first >= 0xD800 && first < 0xDC00) {
      const int second = unit(at_ + 6);
      if (second < 0xDC00 || second >= 0xE000) return no("half of a surrogate pair, which is no character");
      at_ += 12;
      return true;
    }
    if (first >= 0xDC00 && first < 0xE000) return no("half of a surrogate pair, which is no character");
    at_ += 6;
    return true;
  }

  /// The number of the `\uXXXX` at `at`; -1 where there is none.
  [[nodiscard]] int unit(std::size_t at) const noexcept {
    if (at + 6 > text_.size() || text_[at] != '\\' || text_[at + 1] != 'u') return -1;
    int number = 0;
    for (std::size_t i = at + 2; i < at + 6; ++i) {
      const int digit = hex_value(text_[i]);
      if (digit < 0) return -1;
      number = number * 16 + digit;
    }
    return number;
  }

  void skip_space() noexcept {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  /// What stands here, for messages.
  [[nodiscard]] std::string found() const {
    if (at_ == text_.size()) return "the end";
    std::size_t length = 0;
    while (length < 16 && at_ + length < text_.size() && !is_space(text_[at_ + length])) {
      length += std::max<std::size_t>(1, utf8_length(text_.substr(at_ + length)));
    }
    return fmt::format("'{}'", printable(text_.substr(at_, length)));
  }

  JsonBreak fault(std::string reason) const { return {at_, std::move(reason)}; }
  bool no(std::string reason) {
    fault_ = fault(std::move(reason));
    return false;
  }

  std::string_view text_;
  const JsonRules& rules_;
  std::size_t at_ = 0;
  std::vector<char> open_;  // '{' and '[', outermost first
  bool after_value_ = false;
  bool after_comma_ = false;
  JsonBreak fault_;
};

}  // namespace

std::optional<JsonBreak> find_json_break(std::string_view text, const JsonRules& rules) {
  return Walk(text, rules).run();
}

bool is_json_number(std::string_view text) noexcept {
  return !text.empty() && number_length(text) == text.size();
}

std::string_view trim_json(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace weir::load
