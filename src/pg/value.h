#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/clock.h"
#include "pg/oid.h"

namespace weir::pg {

/// bytea. A view, as string_view is for text: what it points to must outlive it.
struct BytesView {
  std::span<const std::byte> data;
};

/// jsonb or json, as text. A view.
struct JsonView {
  std::string_view text;
};

struct Uuid {
  std::array<std::byte, 16> bytes{};
  friend bool operator==(const Uuid&, const Uuid&) = default;
  /// 8-4-4-4-12 lower-case hexadecimal.
  [[nodiscard]] std::string to_string() const;
  /// Accepts what to_string() gives, in either case; nothing for anything else.
  static std::optional<Uuid> parse(std::string_view text) noexcept;
};

/// Between a C++ type and PostgreSQL's binary form of one type. `encode` appends the value without its
/// length; `decode` throws what makes row.h report the column. timestamptz is WallTime, whose max() and min()
/// stand for infinity and -infinity; text and its kin are string_view (into the result) or string (a copy).
template <class T>
struct Codec;

/// A value that is not of the type, or not in the form, that the code expects. row.h adds the column and the
/// query.
struct DecodeFailure {
  std::string reason;
};

template <>
struct Codec<bool> {
  static constexpr Oid kOid = oid::kBool;
  static constexpr Oid kArrayOid = oid::kBoolArray;
  static void encode(std::string& out, const bool& value);
  static bool decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<std::int16_t> {
  static constexpr Oid kOid = oid::kInt2;
  static constexpr Oid kArrayOid = oid::kInt2Array;
  static void encode(std::string& out, const std::int16_t& value);
  static std::int16_t decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<std::int32_t> {
  static constexpr Oid kOid = oid::kInt4;
  static constexpr Oid kArrayOid = oid::kInt4Array;
  static void encode(std::string& out, const std::int32_t& value);
  static std::int32_t decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<std::int64_t> {
  static constexpr Oid kOid = oid::kInt8;
  static constexpr Oid kArrayOid = oid::kInt8Array;
  static void encode(std::string& out, const std::int64_t& value);
  static std::int64_t decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<float> {
  static constexpr Oid kOid = oid::kFloat4;
  static constexpr Oid kArrayOid = oid::kFloat4Array;
  static void encode(std::string& out, const float& value);
  static float decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<double> {
  static constexpr Oid kOid = oid::kFloat8;
  static constexpr Oid kArrayOid = oid::kFloat8Array;
  static void encode(std::string& out, const double& value);
  static double decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<WallTime> {
  static constexpr Oid kOid = oid::kTimestamptz;
  static constexpr Oid kArrayOid = oid::kTimestamptzArray;
  static void encode(std::string& out, const WallTime& value);
  static WallTime decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<Uuid> {
  static constexpr Oid kOid = oid::kUuid;
  static constexpr Oid kArrayOid = oid::kUuidArray;
  static void encode(std::string& out, const Uuid& value);
  static Uuid decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<std::string_view> {
  static constexpr Oid kOid = oid::kText;
  static constexpr Oid kArrayOid = oid::kTextArray;
  static void encode(std::string& out, const std::string_view& value);
  static std::string_view decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<std::string> {
  static constexpr Oid kOid = oid::kText;
  static constexpr Oid kArrayOid = oid::kTextArray;
  static void encode(std::string& out, const std::string& value);
  static std::string decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<BytesView> {
  static constexpr Oid kOid = oid::kBytea;
  static constexpr Oid kArrayOid = oid::kByteaArray;
  static void encode(std::string& out, const BytesView& value);
  static BytesView decode(Oid type, std::string_view bytes);
};
template <>
struct Codec<JsonView> {
  static constexpr Oid kOid = oid::kJsonb;
  static constexpr Oid kArrayOid = oid::kJsonbArray;
  static void encode(std::string& out, const JsonView& value);
  static JsonView decode(Oid type, std::string_view bytes);
};

namespace detail {

/// The header and the elements of a one-dimensional array in binary form.
class ArrayReader {
 public:
  ArrayReader(std::string_view bytes, Oid element);
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The bytes of the next element; nothing for NULL.
  std::optional<std::string_view> next();

 private:
  std::string_view rest_;
  std::size_t size_ = 0;
};

void append_array_header(std::string& out, Oid element, std::size_t size, bool has_null);
void append_null(std::string& out);
/// More the server does not even read: it ends the session.
inline constexpr std::size_t kMostBytes = 0x3fffffff;
/// Throws misuse for more than that. `what` begins the message.
void check_length(std::size_t bytes, const std::string& what);
/// Leaves room for a length that end_element() fills in; returns where.
std::size_t begin_element(std::string& out);
void end_element(std::string& out, std::size_t begin);

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

}  // namespace detail

/// One-dimensional arrays. An element type of std::optional allows NULLs in it.
template <class T>
struct Codec<std::vector<T>> {
  static constexpr bool kNullable = detail::IsOptional<T>::value;
  template <class E>
  struct Inner {
    using type = E;
  };
  template <class E>
  struct Inner<std::optional<E>> {
    using type = E;
  };
  using Element = Codec<typename Inner<T>::type>;
  static constexpr Oid kOid = Element::kArrayOid;

  static void encode(std::string& out, const std::vector<T>& values) {
    detail::append_array_header(out, Element::kOid, values.size(), kNullable);
    // decltype(auto): vector<bool> hands out its bits by value
    for (decltype(auto) value : values) {
      if constexpr (kNullable) {
        if (!value) {
          detail::append_null(out);
          continue;
        }
      }
      const std::size_t begin = detail::begin_element(out);
      if constexpr (kNullable) {
        Element::encode(out, *value);
      } else {
        Element::encode(out, value);
      }
      detail::end_element(out, begin);
    }
  }

  static std::vector<T> decode(Oid type, std::string_view bytes) {
    if (type != kOid)
      throw DecodeFailure{"is " + std::string(type_name(type)) + ", not " + std::string(type_name(kOid))};
    detail::ArrayReader reader(bytes, Element::kOid);
    std::vector<T> values;
    values.reserve(reader.size());
    for (std::size_t i = 0; i < reader.size(); ++i) {
      const auto element = reader.next();
      if (element) {
        values.push_back(Element::decode(Element::kOid, *element));
      } else if constexpr (kNullable) {
        values.push_back(std::nullopt);
      } else {
        throw DecodeFailure{"has a NULL among its elements"};
      }
    }
    return values;
  }
};

}  // namespace weir::pg
