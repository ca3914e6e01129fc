#include "pg/value.h"

#include <bit>
#include <cstring>
#include <limits>

#include "pg/error.h"

namespace weir::pg {
namespace {

using std::chrono::microseconds;

constexpr WallTime kPostgresEpoch{std::chrono::sys_days(std::chrono::year(2000) / 1 / 1)};
constexpr std::size_t kMaxArray = (std::size_t{1} << 27U);  // PostgreSQL's own limit on elements

template <class Unsigned>
void append_big_endian(std::string& out, Unsigned value) {
  for (std::size_t shift = sizeof(Unsigned) * 8; shift > 0; shift -= 8) {
    out.push_back(static_cast<char>(static_cast<unsigned char>(value >> (shift - 8))));
  }
}

template <class Unsigned>
Unsigned read_big_endian(std::string_view bytes) noexcept {
  Unsigned value = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) {
    value = static_cast<Unsigned>(value << 8U) | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

[[noreturn]] void wrong_type(Oid found, Oid wanted) {
  throw DecodeFailure{"is " + std::string(type_name(found)) + ", not " + std::string(type_name(wanted))};
}

template <class Unsigned>
Unsigned read_exactly(std::string_view bytes) {
  if (bytes.size() != sizeof(Unsigned)) throw DecodeFailure{"has " + std::to_string(bytes.size()) + " bytes"};
  return read_big_endian<Unsigned>(bytes);
}

/// Widening is allowed (an int4 column read as int64), narrowing is not.
std::int64_t read_integer(Oid type, std::string_view bytes, Oid widest) {
  if (type == oid::kInt2) return static_cast<std::int16_t>(read_exactly<std::uint16_t>(bytes));
  if (type == oid::kInt4 && widest != oid::kInt2)
    return static_cast<std::int32_t>(read_exactly<std::uint32_t>(bytes));
  if (widest == oid::kInt8) {
    if (type == oid::kInt8) return static_cast<std::int64_t>(read_exactly<std::uint64_t>(bytes));
    if (type == oid::kOid) return read_exactly<std::uint32_t>(bytes);
  }
  wrong_type(type, widest);
}

bool is_text(Oid type) noexcept {
  return type == oid::kText || type == oid::kVarchar || type == oid::kName || type == oid::kBpchar ||
         type == oid::kUnknown;
}

}  // namespace

std::string Uuid::to_string() const {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    const auto byte = static_cast<unsigned>(bytes[i]);
    text.push_back(kHex[byte >> 4U]);
    text.push_back(kHex[byte & 0x0FU]);
  }
  return text;
}

std::optional<Uuid> Uuid::parse(std::string_view text) noexcept {
  if (text.size() != 36) return std::nullopt;
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  Uuid uuid;
  std::size_t at = 0;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if ((i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-') return std::nullopt;
    const int high = digit(text[at]);
    const int low = digit(text[at + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    uuid.bytes[i] = static_cast<std::byte>(high * 16 + low);
    at += 2;
  }
  return uuid;
}

void Codec<bool>::encode(std::string& out, const bool& value) { out.push_back(value ? '\1' : '\0'); }
bool Codec<bool>::decode(Oid type, std::string_view bytes) {
  if (type != kOid) wrong_type(type, kOid);
  return read_exactly<std::uint8_t>(bytes) != 0;
}

void Codec<std::int16_t>::encode(std::string& out, const std::int16_t& value) {
  append_big_endian(out, static_cast<std::uint16_t>(value));
}
std::int16_t Codec<std::int16_t>::decode(Oid type, std::string_view bytes) {
  return static_cast<std::int16_t>(read_integer(type, bytes, kOid));
}

void Codec<std::int32_t>::encode(std::string& out, const std::int32_t& value) {
  append_big_endian(out, static_cast<std::uint32_t>(value));
}
std::int32_t Codec<std::int32_t>::decode(Oid type, std::string_view bytes) {
  return static_cast<std::int32_t>(read_integer(type, bytes, kOid));
}

void Codec<std::int64_t>::encode(std::string& out, const std::int64_t& value) {
  append_big_endian(out, static_cast<std::uint64_t>(value));
}
std::int64_t Codec<std::int64_t>::decode(Oid type, std::string_view bytes) {
  return read_integer(type, bytes, kOid);
}

void Codec<float>::encode(std::string& out, const float& value) {
  append_big_endian(out, std::bit_cast<std::uint32_t>(value));
}
float Codec<float>::decode(Oid type, std::string_view bytes) {
  if (type != kOid) wrong_type(type, kOid);
  return std::bit_cast<float>(read_exactly<std::uint32_t>(bytes));
}

void Codec<double>::encode(std::string& out, const double& value) {
  append_big_endian(out, std::bit_cast<std::uint64_t>(value));
}
double Codec<double>::decode(Oid type, std::string_view bytes) {
  if (type == oid::kFloat4) return std::bit_cast<float>(read_exactly<std::uint32_t>(bytes));
  if (type != kOid) wrong_type(type, kOid);
  return std::bit_cast<double>(read_exactly<std::uint64_t>(bytes));
}

void Codec<WallTime>::encode(std::string& out, const WallTime& value) {
  const bool infinite = value == WallTime::max() || value == WallTime::min();
  const auto count = infinite ? value.time_since_epoch() : value - kPostgresEpoch;
  append_big_endian(out, static_cast<std::uint64_t>(count.count()));
}
WallTime Codec<WallTime>::decode(Oid type, std::string_view bytes) {
  if (type != kOid) wrong_type(type, kOid);
  const microseconds since(static_cast<std::int64_t>(read_exactly<std::uint64_t>(bytes)));
  if (since == microseconds::max() || since == microseconds::min()) return WallTime(since);
  if (since > microseconds::max() - kPostgresEpoch.time_since_epoch()) {
    throw DecodeFailure{"is later than the year 294246, the last one that fits"};
  }
  return kPostgresEpoch + since;
}

void Codec<Uuid>::encode(std::string& out, const Uuid& value) {
  for (const std::byte byte : value.bytes) out.push_back(static_cast<char>(byte));
}
Uuid Codec<Uuid>::decode(Oid type, std::string_view bytes) {
  if (type != kOid) wrong_type(type, kOid);
  Uuid uuid;
  if (bytes.size() != uuid.bytes.size())
    throw DecodeFailure{"has " + std::to_string(bytes.size()) + " bytes"};
  std::memcpy(uuid.bytes.data(), bytes.data(), bytes.size());
  return uuid;
}

void Codec<std::string_view>::encode(std::string& out, const std::string_view& value) { out.append(value); }
std::string_view Codec<std::string_view>::decode(Oid type, std::string_view bytes) {
  if (!is_text(type)) wrong_type(type, kOid);
  return bytes;
}

void Codec<std::string>::encode(std::string& out, const std::string& value) { out.append(value); }
std::string Codec<std::string>::decode(Oid type, std::string_view bytes) {
  return std::string(Codec<std::string_view>::decode(type, bytes));
}

void Codec<BytesView>::encode(std::string& out, const BytesView& value) {
  out.append(reinterpret_cast<const char*>(value.data.data()), value.data.size());
}
BytesView Codec<BytesView>::decode(Oid type, std::string_view bytes) {
  if (type != kOid) wrong_type(type, kOid);
  return {std::as_bytes(std::span(bytes))};
}

// jsonb's binary form is its text behind a version byte.
void Codec<JsonView>::encode(std::string& out, const JsonView& value) {
  out.push_back('\1');
  out.append(value.text);
}
JsonView Codec<JsonView>::decode(Oid type, std::string_view bytes) {
  if (type == oid::kJson) return {bytes};
  if (type != kOid) wrong_type(type, kOid);
  if (bytes.empty() || bytes.front() != '\1')
    throw DecodeFailure{"is jsonb of a version this binary does not know"};
  return {bytes.substr(1)};
}

namespace detail {

ArrayReader::ArrayReader(std::string_view bytes, Oid element) : rest_(bytes) {
  constexpr std::size_t kHead = 12;      // dimensions, has-null flag, element type
  constexpr std::size_t kDimension = 8;  // size and lower bound
  if (bytes.size() < kHead) throw DecodeFailure{"is cut short"};
  const auto dimensions = read_big_endian<std::uint32_t>(bytes);
  const Oid found = read_big_endian<std::uint32_t>(bytes.substr(8));
  if (found != element) wrong_type(found, element);
  rest_.remove_prefix(kHead);
  if (dimensions == 0) return;
  if (dimensions != 1) throw DecodeFailure{"has " + std::to_string(dimensions) + " dimensions, not one"};
  if (rest_.size() < kDimension) throw DecodeFailure{"is cut short"};
  size_ = read_big_endian<std::uint32_t>(rest_);
  // Each element takes at least its length word: a size that lies must not make us reserve memory for it.
  rest_.remove_prefix(kDimension);
  if (size_ > kMaxArray || size_ > rest_.size() / 4) throw DecodeFailure{"is cut short"};
}

std::optional<std::string_view> ArrayReader::next() {
  if (rest_.size() < 4) throw DecodeFailure{"is cut short"};
  const auto length = static_cast<std::int32_t>(read_big_endian<std::uint32_t>(rest_));
  rest_.remove_prefix(4);
  if (length < 0) return std::nullopt;
  if (rest_.size() < static_cast<std::size_t>(length)) throw DecodeFailure{"is cut short"};
  const std::string_view element = rest_.substr(0, static_cast<std::size_t>(length));
  rest_.remove_prefix(element.size());
  return element;
}

void append_array_header(std::string& out, Oid element, std::size_t size, bool has_null) {
  append_big_endian(out, static_cast<std::uint32_t>(size == 0 ? 0 : 1));
  append_big_endian(out, static_cast<std::uint32_t>(has_null ? 1 : 0));
  append_big_endian(out, element);
  if (size == 0) return;
  append_big_endian(out, static_cast<std::uint32_t>(size));
  append_big_endian(out, std::uint32_t{1});  // the lower bound
}

void append_null(std::string& out) { append_big_endian(out, std::numeric_limits<std::uint32_t>::max()); }

void check_length(std::size_t bytes, const std::string& what) {
  if (bytes <= kMostBytes) return;
  raise({.kind = ErrorKind::misuse,
         .message = what + " has " + std::to_string(bytes) + " bytes; PostgreSQL takes at most 1 GB",
         .hint = "Split the value, or load it by COPY in parts."});
}

std::size_t begin_element(std::string& out) {
  append_big_endian(out, std::uint32_t{0});
  return out.size();
}

void end_element(std::string& out, std::size_t begin) {
  check_length(out.size() - begin, "a value");
  const auto length = static_cast<std::uint32_t>(out.size() - begin);
  for (std::size_t i = 0; i < 4; ++i) out[begin - 4 + i] = static_cast<char>(length >> (24 - 8 * i));
}

}  // namespace detail
}  // namespace weir::pg
