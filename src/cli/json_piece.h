#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace weir::cli {

/// JSON from the server as a piece of a document. What no tree can hold, such as the number 1e400, is shown
/// as its text.
nlohmann::ordered_json json_piece(std::string_view json);

}  // namespace weir::cli
