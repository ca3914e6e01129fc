#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg/value.h"

namespace weir::pg {

/// A value in text form, whose type the server takes from where the parameter stands: for values of users.
/// Copied.
struct Untyped {
  std::string_view text;
};

namespace detail {

template <class T>
struct WithoutOptional {
  using type = T;
};
template <class T>
struct WithoutOptional<std::optional<T>> {
  using type = T;
};
template <class T>
using WithoutOptionalT = typename WithoutOptional<std::remove_cvref_t<T>>::type;

/// Whether a From becomes a To as it is: no number is cut, and neither a pointer nor a number becomes a bool.
template <class To, class From>
concept keeps_value = (!std::is_same_v<WithoutOptionalT<To>, To> &&
                       std::is_same_v<std::remove_cvref_t<From>, std::nullopt_t>) ||
                      requires(const WithoutOptionalT<From>& from) { WithoutOptionalT<To>{from}; };

}  // namespace detail

/// The parameters $1, $2, .. of one statement, in binary. Text and bytea are not copied: what a view points
/// to must live until the statement was sent. Reusable: clear() keeps the memory.
class Params {
 public:
  Params() = default;

  template <class... T>
  static Params of(const T&... values) {
    Params params;
    (params.add(values), ...);
    return params;
  }

  template <class T>
  Params& add(const T& value) {
    if constexpr (detail::IsOptional<T>::value) {
      using Value = typename T::value_type;
      return value ? add(*value) : add_null(Codec<Value>::kOid);
    } else if constexpr (std::is_same_v<T, BytesView>) {
      return add_view(oid::kBytea, {reinterpret_cast<const char*>(value.data.data()), value.data.size()});
    } else if constexpr (std::is_same_v<T, Untyped>) {
      return add_untyped(value.text);
    } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      return add_view(oid::kText, value);
    } else {
      const std::size_t begin = arena_.size();
      Codec<T>::encode(arena_, value);
      return add_owned(Codec<T>::kOid, begin);
    }
  }
  /// A NULL of the given type; oid::kInferred leaves the type to the server.
  Params& add_null(Oid type);

  void clear() noexcept;

  /// What libpq wants; valid until the next change.
  struct View {
    int count = 0;
    const Oid* types = nullptr;
    const char* const* values = nullptr;
    const int* lengths = nullptr;
    const int* formats = nullptr;
  };
  [[nodiscard]] View view();

 private:
  Params& add_view(Oid type, std::string_view bytes);
  Params& add_owned(Oid type, std::size_t begin);
  Params& add_untyped(std::string_view text);
  void push(Oid type, const char* value, std::size_t length);

  static constexpr std::size_t kNotOwned = static_cast<std::size_t>(-1);
  std::string arena_;                 // encoded values, one after the other
  std::vector<std::size_t> offsets_;  // where each one lies in arena_, or kNotOwned
  std::vector<Oid> types_;
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

}  // namespace weir::pg
