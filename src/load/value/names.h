#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weir::load {

enum class NameStyle : std::uint8_t {
  as_written,
  snake,  ///< "Order ID", "orderId" > order_id
};

/// Names that a table of PostgreSQL's can have, one for each of `header` and all different: at most 63 bytes,
/// cut between characters; those that repeat get a number (name_2), those that are empty their place (c3).
/// What is legal already stays as it is.
std::vector<std::string> column_names(std::span<const std::string> header,
                                      NameStyle style = NameStyle::as_written);

}  // namespace weir::load
