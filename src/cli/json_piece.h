#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace weir::cli {

/// JSON from the server as a piece of a document. What no tree can hold, such as the number 1e400, is shown
/// as its text.
inline nlohmann::ordered_json json_piece(std::string_view json) {
  auto piece = nlohmann::ordered_json::parse(json, nullptr, false);
  return piece.is_discarded() ? nlohmann::ordered_json(std::string(json)) : piece;
}

}  // namespace weir::cli
