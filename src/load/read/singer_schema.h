#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "load/value/column_type.h"

namespace weir::load {

/// How a string of JSON carries bytes.
enum class BytesAs : std::uint8_t { text, base16, base64 };

struct SingerColumn {
  std::string name;               ///< as the tap writes it; of a flattened object `outer__inner`
  std::vector<std::string> path;  ///< the keys that lead to it
  ColumnType type;
  BytesAs bytes_as = BytesAs::text;

  friend bool operator==(const SingerColumn&, const SingerColumn&) = default;
};

struct SingerSchema {
  std::vector<SingerColumn> columns;
  std::vector<std::size_t> keys;  ///< places in `columns`; none: rows are appended

  friend bool operator==(const SingerSchema&, const SingerSchema&) = default;
};

/// When a row was deleted at its source: written by taps that follow a log, and by soft deletes.
inline constexpr std::string_view kDeletedAt = "_sdc_deleted_at";

struct SingerSchemaOptions {
  std::size_t flatten = 0;   ///< levels of objects that become columns
  bool soft_delete = false;  ///< there is always a column kDeletedAt
};

/// The columns that JSON Schema describes. What it leaves open is jsonb; what is now a text and now a number
/// is text. Answers what is wrong with it instead: "key property 'id' is no property".
tl::expected<SingerSchema, std::string> parse_singer_schema(std::string_view schema,
                                                            std::string_view key_properties,
                                                            const SingerSchemaOptions& options);

}  // namespace weir::load
