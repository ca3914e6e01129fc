#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::group {

/// The rows that a batch's payload is: an array of objects, an object with such an array as `rows`, or one
/// object.
struct PayloadRows {
  std::vector<std::string> columns;  ///< of all rows, in the order in which they come up
  std::vector<std::vector<std::optional<std::string>>>
      rows;  ///< a value for each column, as PostgreSQL reads it
};

/// Throws what the payload is instead. Pure.
PayloadRows rows_of(std::string_view payload);

}  // namespace weir::group
