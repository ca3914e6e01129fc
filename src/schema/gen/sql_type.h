#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::sqlgen {

/// The type of a parameter or a column as a query's header spells it: `int8`, `text?`, `uuid[]`, `text?[]?`.
/// The first `?` allows NULL among an array's elements, the last one NULL itself.
struct SqlType {
  std::string_view name;  ///< static, without marks
  bool array = false;
  bool nullable_elements = false;
  bool nullable = false;

  /// Nothing for a type that Weir does not read.
  static std::optional<SqlType> parse(std::string_view text);
  /// For messages.
  static std::string known_names();

  /// As C++ spells it in namespace weir::sql: `std::optional<std::string_view>`.
  [[nodiscard]] std::string cpp() const;
  /// As C++ spells its number: `pg::oid::kInt8Array`.
  [[nodiscard]] std::string oid() const;

  friend bool operator==(const SqlType&, const SqlType&) = default;
};

}  // namespace weir::sqlgen
