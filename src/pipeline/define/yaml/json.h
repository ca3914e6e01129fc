#pragma once

#include <nlohmann/json_fwd.hpp>

#include "pipeline/define/yaml/node.h"

namespace weir::pipeline::yaml {

/// The value as JSON, plain scalars read by the core schema. A number that JSON or 64 bits do not have is a
/// text.
nlohmann::json to_json(const Node& node);

}  // namespace weir::pipeline::yaml
