#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "load/read/json_cells.h"

namespace weir::load {

/// One line of a tap. Views into the line; nothing of the stream or its schema is checked.
struct SingerMessage {
  enum class Type : std::uint8_t { schema, record, state, activate_version, batch };
  Type type = Type::state;
  std::string_view stream{};
  std::string_view record{};          ///< a JSON object
  std::string_view schema{};          ///< a JSON object
  std::string_view key_properties{};  ///< a JSON array, or nothing
  std::string_view value{};           ///< of a STATE: JSON, or nothing
  std::string_view encoding{};        ///< of a BATCH: a JSON object
  std::string_view manifest{};        ///< of a BATCH: a JSON array
  std::optional<std::int64_t> version{};
};

/// Reads the lines of a tap, in the order in which they may have keys: any.
class SingerMessages {
 public:
  SingerMessages();
  /// `line` has kJsonPadding readable bytes behind it. The message lives until the next one.
  tl::expected<SingerMessage, JsonBreak> parse(std::string_view line);

 private:
  JsonCells cells_{{.flatten = 0, .grow = false}};
};

}  // namespace weir::load
