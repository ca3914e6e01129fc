#pragma once

#include <cstdint>
#include <optional>

#include "pipeline/define/yaml/node.h"

namespace weir::pipeline::yaml {

/// What a plain scalar is by the core schema of YAML 1.2: `true`, `True` and `TRUE`, but not `yes` and `on`;
/// `17` and `010` (ten), `0o17`, `0x1F`; `1.5e3`, `.inf`. Nothing for quoted texts, and for numbers that do
/// not fit.
std::optional<bool> as_boolean(const Node& node) noexcept;
std::optional<std::int64_t> as_integer(const Node& node) noexcept;
std::optional<double> as_number(const Node& node) noexcept;

}  // namespace weir::pipeline::yaml
