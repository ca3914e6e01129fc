#include "cli/json_piece.h"

#include <string>

#include <nlohmann/json.hpp>

namespace weir::cli {

nlohmann::ordered_json json_piece(std::string_view json) {
  auto piece = nlohmann::ordered_json::parse(json, nullptr, false);
  return piece.is_discarded() ? nlohmann::ordered_json(std::string(json)) : piece;
}

}  // namespace weir::cli
