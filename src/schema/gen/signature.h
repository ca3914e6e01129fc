#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "schema/gen/query_file.h"

namespace weir::sqlgen {

struct Signature {
  std::string name;
  std::vector<Field> parameters;
  std::vector<Field> columns;
};

/// What is wrong with a header.
struct SignatureError {
  std::string message;
};

/// Whether the header ends with `text`, or goes on in the next comment line.
bool is_complete_signature(std::string_view text) noexcept;

/// Parses what follows `-- name:`. Throws SignatureError.
Signature parse_signature(std::string_view text);

}  // namespace weir::sqlgen
