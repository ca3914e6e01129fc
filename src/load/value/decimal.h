#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::load {

/// A number as it is written, in its parts: [+-]whole[.fraction][e exponent].
struct Decimal {
  bool negative = false;
  bool has_sign = false;
  bool has_point = false;
  bool has_exponent = false;
  std::string_view whole{};
  std::string_view fraction{};
  std::int64_t exponent = 0;  ///< not beyond +-kMostExponent, however large it was written

  static constexpr std::int64_t kMostExponent = 2'000'000'000;
};

/// Nothing for what is no decimal number. Blanks around it have to be gone.
std::optional<Decimal> parse_decimal(std::string_view text) noexcept;

/// The digits between the zeros of both ends, and where the point is.
struct Digits {
  std::string_view first;  ///< the digits are those of `first` and then `second`
  std::string_view second;
  std::int64_t point = 0;  ///< in front of which of them; below zero: so many zeros follow the point

  [[nodiscard]] std::size_t size() const noexcept { return first.size() + second.size(); }
};
Digits significant_digits(const Decimal& number) noexcept;

/// As PostgreSQL's numeric counts: digits behind the point, written zeros included.
std::int64_t scale_of(const Decimal& number) noexcept;

/// Whether PostgreSQL's numeric can hold it.
bool fits_numeric(const Decimal& number) noexcept;

/// The whole number that it is exactly ("5.0", "1e3"); nothing where it is none of int8.
std::optional<std::int64_t> to_int8(const Decimal& number) noexcept;

inline constexpr std::int64_t kMostNumericScale = 16383;
inline constexpr std::int64_t kMostNumericDigits = 131072;  ///< in front of the point

}  // namespace weir::load
