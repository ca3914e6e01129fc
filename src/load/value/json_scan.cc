#include "load/value/json_scan.h"

#include <cstdint>
#include <vector>

#include "load/value/decimal.h"

namespace weir::load {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// Without recursion: what may follow is known from the kinds of the brackets that are open.
class Scanner {
 public:
  Scanner(std::string_view json, bool for_jsonb) : json_(json), for_jsonb_(for_jsonb) {}

  std::optional<JsonFault> run() {
    while (value()) {
      if (!behind_value()) break;
      if (open_.empty()) {
        if (at_ < json_.size()) fail("something follows the end");
        break;
      }
    }
    return fault_;
  }

 private:
  bool fail(std::string_view what) noexcept {
    if (!fault_) fault_ = JsonFault{at_, what};
    return false;
  }
  [[nodiscard]] char peek() const noexcept { return at_ < json_.size() ? json_[at_] : '\0'; }
  void space() noexcept {
    while (at_ < json_.size() &&
           (json_[at_] == ' ' || json_[at_] == '\t' || json_[at_] == '\n' || json_[at_] == '\r')) {
      ++at_;
    }
  }
  bool word(std::string_view word) noexcept {
    if (json_.substr(at_, word.size()) != word) return fail("a value is missing");
    at_ += word.size();
    return true;
  }

  /// A scalar, an empty array or object, or the way down to the first of these.
  bool value() {
    for (;;) {
      space();
      switch (peek()) {
        case '"': return string();
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        case '[':
        case '{': {
          const bool is_object = peek() == '{';
          if (open_.size() == kMostJsonDepth) return fail("it is nested too deeply");
          ++at_;
          space();
          if (peek() == (is_object ? '}' : ']')) {
            ++at_;
            return true;
          }
          open_.push_back(is_object);
          if (is_object && !key()) return false;
          break;
        }
        default: return number();
      }
    }
  }

  /// Closing brackets, and up to where the next value begins.
  bool behind_value() {
    for (;;) {
      space();
      if (open_.empty()) return true;
      const bool is_object = open_.back();
      if (peek() == ',') {
        ++at_;
        space();
        return !is_object || key();
      }
      if (peek() != (is_object ? '}' : ']'))
        return fail(is_object ? "',' or '}' is missing" : "',' or ']' is missing");
      ++at_;
      open_.pop_back();
    }
  }

  bool key() {
    if (peek() != '"') return fail("a key is missing");
    if (!string()) return false;
    space();
    if (peek() != ':') return fail("':' is missing");
    ++at_;
    return true;
  }

  bool string() {
    for (++at_; at_ < json_.size();) {
      const auto byte = static_cast<unsigned char>(json_[at_]);
      if (byte == '"') {
        ++at_;
        return true;
      }
      if (byte < 0x20) return fail("a control character stands in a string");
      if (byte != '\\') {
        ++at_;
      } else if (!escape()) {
        return false;
      }
    }
    return fail("a string has no end");
  }

  bool escape() {
    const char kind = at_ + 1 < json_.size() ? json_[at_ + 1] : '\0';
    if (kind != 'u') {
      if (std::string_view("\"\\/bfnrt").find(kind) == std::string_view::npos || kind == '\0') {
        return fail("an escape that JSON does not know");
      }
      at_ += 2;
      return true;
    }
    std::uint32_t code = 0;
    if (!unicode(at_, code)) return fail("\\u needs four hexadecimal digits");
    if (for_jsonb_ && code == 0) return fail("\\u0000, which jsonb cannot hold");
    if (for_jsonb_ && code >= 0xDC00 && code <= 0xDFFF) return fail("half a surrogate pair");
    if (for_jsonb_ && code >= 0xD800 && code <= 0xDBFF) {
      std::uint32_t low = 0;
      if (!unicode(at_ + 6, low) || low < 0xDC00 || low > 0xDFFF) return fail("half a surrogate pair");
      at_ += 6;
    }
    at_ += 6;
    return true;
  }

  /// \uXXXX at `at`.
  bool unicode(std::size_t at, std::uint32_t& code) const noexcept {
    if (json_.size() < 6 || at > json_.size() - 6 || json_[at] != '\\' || json_[at + 1] != 'u') return false;
    code = 0;
    for (std::size_t i = at + 2; i < at + 6; ++i) {
      const char c = json_[i];
      const int digit = is_digit(c)              ? c - '0'
                        : (c >= 'a' && c <= 'f') ? c - 'a' + 10
                        : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                                 : -1;
      if (digit < 0) return false;
      code = code * 16 + static_cast<std::uint32_t>(digit);
    }
    return true;
  }

  bool digits() noexcept {
    const std::size_t before = at_;
    while (is_digit(peek())) ++at_;
    return at_ > before;
  }

  bool number() {
    const std::size_t begin = at_;
    if (peek() == '-') ++at_;
    const bool zero = peek() == '0';
    if (!digits()) return fail("a value is missing");
    if (zero && at_ - begin > (json_[begin] == '-' ? 2U : 1U)) return fail("a number begins with 0");
    if (peek() == '.') {
      ++at_;
      if (!digits()) return fail("a digit is missing");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return fail("a digit is missing");
    }
    if (for_jsonb_ && !fits_numeric(*parse_decimal(json_.substr(begin, at_ - begin)))) {
      return fail("a number beyond numeric, which jsonb cannot hold");
    }
    return true;
  }

  std::string_view json_;
  bool for_jsonb_;
  std::size_t at_ = 0;
  std::vector<bool> open_{};
  std::optional<JsonFault> fault_{};
};

}  // namespace

std::optional<JsonFault> find_json_fault(std::string_view json, bool for_jsonb) {
  return Scanner(json, for_jsonb).run();
}

}  // namespace weir::load
