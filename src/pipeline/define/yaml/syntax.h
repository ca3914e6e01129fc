#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/define/yaml/parse.h"

namespace weir::pipeline::yaml {

/// What keeps the text from being YAML at all: its size, bytes that are no UTF-8, control characters.
std::optional<Fault> check_text(std::string_view source, const Limits& limits);

/// What yaml-cpp says at `offset` of `source`, in words of ours.
Fault explain(std::string_view source, std::size_t offset, const std::string& message);

/// Whether the scalar at `offset` opens a quote that the source never closes, which yaml-cpp does not mind.
bool is_unclosed_quote(std::string_view source, std::size_t offset) noexcept;

}  // namespace weir::pipeline::yaml
