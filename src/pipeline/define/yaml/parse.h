#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/define/yaml/node.h"

namespace weir::pipeline::yaml {

struct Fault {
  Place place;
  std::string message;
  std::string remedy{};
};

/// What a document may cost, whatever it says.
struct Limits {
  std::size_t bytes = 4 * 1024 * 1024;
  std::size_t depth = 40;
  std::size_t nodes = 500'000;                ///< aliases count as what they stand for
  std::size_t text = 32UL * 1024UL * 1024UL;  ///< bytes of all scalars, aliases as above
  std::size_t faults = 100;
};

struct Parsed {
  std::optional<Node> root{};  ///< nothing for an empty file, and where it could not be read
  std::vector<Fault> faults{};
};

/// One YAML 1.2 document. UTF-8 alone; duplicate keys, tags, merge keys and a second document are faults.
/// Syntax that cannot be read ends the reading, so that is one fault; the others are told all at once.
Parsed parse(std::string_view source, const Limits& limits = {});

/// Where the byte `offset` of `source` stands.
Place place_of(std::string_view source, std::size_t offset) noexcept;

/// Where the `nth` occurrence of `part` in the scalar `node` was written, as far as the source shows it
/// unescaped; else where the scalar begins.
Place place_within(std::string_view source, const Node& node, std::string_view part,
                   std::size_t nth = 0) noexcept;

}  // namespace weir::pipeline::yaml
