#pragma once

#include <string>
#include <string_view>

namespace weir::cli {

enum class Color { plain, bold, dim, red, green, yellow, cyan };

/// Puts colours around texts, or leaves them as they are where the reader is no terminal.
class Paint {
 public:
  explicit Paint(bool on) noexcept : on_(on) {}

  [[nodiscard]] std::string operator()(Color color, std::string_view text) const {
    if (!on_ || color == Color::plain) return std::string(text);
    return std::string(code(color)) + std::string(text) + "\x1b[0m";
  }

 private:
  static constexpr std::string_view code(Color color) noexcept {
    switch (color) {
      case Color::plain: break;
      case Color::bold: return "\x1b[1m";
      case Color::dim: return "\x1b[2m";
      case Color::red: return "\x1b[31m";
      case Color::green: return "\x1b[32m";
      case Color::yellow: return "\x1b[33m";
      case Color::cyan: return "\x1b[36m";
    }
    return "";
  }

  bool on_;
};

}  // namespace weir::cli
