#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/define/keys.h"

namespace weir::pipeline {

/// The JSON Schema (draft 7, which editors know) of what a table of keys allows. It is looser than the reader
/// where a schema cannot say it, and never stricter.
nlohmann::ordered_json json_schema(const Object& object, std::string_view title);

}  // namespace weir::pipeline
