#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::group {

/// The rows that a batch's payload is: an array of objects, an object with such an array as `rows`, or one
/// object. They are read twice, one at a time: for the columns, and for the values.
class PayloadRows {
 public:
  /// A value for each column, as PostgreSQL reads it.
  using Row = std::vector<std::optional<std::string>>;

  /// Throws what the payload is instead. It is the answer of a server of PostgreSQL's, so it is good JSON.
  explicit PayloadRows(std::string_view payload);

  /// Of all rows, in the order in which they come up.
  [[nodiscard]] const std::vector<std::string>& columns() const noexcept { return columns_; }
  void each(const std::function<void(const Row&)>& visit) const;

 private:
  std::string payload_;  // with what the parser reads beyond its end
  std::size_t size_;
  std::vector<std::string> columns_;
};

}  // namespace weir::group
