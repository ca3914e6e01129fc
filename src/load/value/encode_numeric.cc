#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "load/value/decimal.h"
#include "load/value/encode.h"
#include "load/value/field.h"
#include "load/value/text_check.h"

namespace weir::load {
namespace {

// PostgreSQL's numeric: digits to the base of 10,000, the weight of the first of them, a sign, and how many
// decimal digits are shown behind the point.
constexpr std::int64_t kGroup = 4;
constexpr std::uint16_t kPositive = 0x0000;
constexpr std::uint16_t kNegative = 0x4000;
constexpr std::uint16_t kNan = 0xC000;
constexpr std::uint16_t kInfinity = 0xD000;
constexpr std::uint16_t kMinusInfinity = 0xF000;

struct Header {
  std::uint16_t groups = 0;
  std::int16_t weight = 0;
  std::uint16_t sign = kPositive;
  std::uint16_t scale = 0;
};

/// The field's length and all that stands before the digits.
void put_header(std::string& out, const Header& header) {
  std::array<char, 12> bytes{};
  store_big_endian(bytes.data(), static_cast<std::int32_t>(8 + 2 * header.groups));
  store_big_endian(bytes.data() + 4, header.groups);
  store_big_endian(bytes.data() + 6, header.weight);
  store_big_endian(bytes.data() + 8, header.sign);
  store_big_endian(bytes.data() + 10, header.scale);
  out.append(bytes.data(), bytes.size());
}

/// Decimal digits in a row, without zeros at either end, and where the point is. Short ones need no memory.
class Row {
 public:
  explicit Row(const Digits& digits) : point_(digits.point), size_(digits.size()) {
    char* at = short_.data();
    if (size_ + 1 > short_.size()) {
      long_.resize(size_ + 1);
      at = long_.data();
    }
    data_ = at;
    at = std::copy(digits.first.begin(), digits.first.end(), at);
    std::copy(digits.second.begin(), digits.second.end(), at);
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  ~Row() = default;

  [[nodiscard]] bool is_zero() const noexcept { return size_ == 0; }
  [[nodiscard]] std::int64_t point() const noexcept { return point_; }
  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(size_); }
  /// Zero outside.
  [[nodiscard]] unsigned digit(std::int64_t at) const noexcept {
    return at < 0 || at >= size() ? 0U : static_cast<unsigned>(data_[at] - '0');
  }

  /// To `scale` digits behind the point, half away from zero.
  void round(std::int64_t scale) noexcept {
    const std::int64_t keep = point_ + scale;
    if (keep >= size()) return;
    const bool up = keep >= 0 && data_[keep] >= '5';
    size_ = static_cast<std::size_t>(std::max<std::int64_t>(keep, 0));
    if (up) {
      while (size_ > 0 && data_[size_ - 1] == '9') --size_;
      if (size_ > 0) {
        ++data_[size_ - 1];
      } else {
        data_[0] = '1';
        size_ = 1;
        ++point_;
      }
    }
    while (size_ > 0 && data_[size_ - 1] == '0') --size_;
    if (size_ == 0) point_ = 0;
  }

 private:
  std::int64_t point_;
  std::size_t size_;
  std::array<char, 64> short_;
  std::string long_;
  char* data_;
};

void put_finite(std::string& out, const Row& row, bool negative, std::int64_t scale) {
  if (row.is_zero()) {
    put_header(out, {.scale = static_cast<std::uint16_t>(scale)});
    return;
  }
  const std::int64_t before = row.point() - 1;
  const std::int64_t weight = before >= 0 ? before / kGroup : -((-before + kGroup - 1) / kGroup);
  std::int64_t at = row.point() - kGroup * (weight + 1);  // where the first group begins: 0 to -3
  const std::int64_t groups = (row.size() - at + kGroup - 1) / kGroup;
  put_header(out, {.groups = static_cast<std::uint16_t>(groups),
                   .weight = static_cast<std::int16_t>(weight),
                   .sign = negative ? kNegative : kPositive,
                   .scale = static_cast<std::uint16_t>(scale)});
  for (; at < row.size(); at += kGroup) {
    const unsigned group =
        row.digit(at) * 1000 + row.digit(at + 1) * 100 + row.digit(at + 2) * 10 + row.digit(at + 3);
    append_integer(out, static_cast<std::uint16_t>(group));
  }
}

/// Of "NaN" and "Infinity" with its sign.
std::optional<std::uint16_t> special_sign(std::string_view text) noexcept {
  if (is_word(text, "nan")) return kNan;
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (is_word(text, "infinity") || is_word(text, "inf")) return negative ? kMinusInfinity : kInfinity;
  return std::nullopt;
}

std::string limits_text(NumericLimits limits) {
  return fmt::format("numeric({},{})", limits.precision, limits.scale);
}

}  // namespace

bool encode_numeric(const Cell& cell, const ColumnType& type, std::string& out, std::string& reason) {
  if (cell.kind != Cell::Kind::text && cell.kind != Cell::Kind::number) {
    return refuse(cell, Base::numeric, reason);
  }
  const std::string_view text = trim_spaces(cell.text);
  const auto limits = numeric_limits(type);
  const auto number = parse_decimal(text);
  if (!number) {
    const auto sign = special_sign(text);
    if (!sign) return refuse(cell, Base::numeric, reason);
    if (limits && *sign != kNan) return refuse_range(cell, limits_text(*limits), reason);
    put_header(out, {.sign = *sign});
    return true;
  }
  // Also where there is a limit: the server's cast to numeric(p,s) goes by way of numeric.
  if (!fits_numeric(*number)) return refuse_range(cell, "numeric", reason);
  if (!limits) {
    put_finite(out, Row(significant_digits(*number)), number->negative, scale_of(*number));
    return true;
  }
  Row row(significant_digits(*number));
  row.round(limits->scale);
  if (!row.is_zero() && row.point() > limits->precision - limits->scale) {
    return refuse_range(cell, limits_text(*limits), reason);
  }
  put_finite(out, row, number->negative, std::max(limits->scale, 0));
  return true;
}

}  // namespace weir::load
