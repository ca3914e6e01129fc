#include "load/value/row_encoder.h"

#include <utility>

#include <fmt/format.h>

#include "load/value/encode.h"
#include "load/value/field.h"

namespace weir::load {
namespace {

bool encode(const Cell& cell, const ColumnType& type, const EncodeOptions& options, std::string& out,
            std::string& reason, bool& rounded) {
  switch (type.base) {
    case Base::boolean: return encode_boolean(cell, out, reason);
    case Base::int2:
    case Base::int4:
    case Base::int8: return encode_integer(cell, type.base, out, reason);
    case Base::numeric: return encode_numeric(cell, type, out, reason);
    case Base::float4:
    case Base::float8: return encode_float(cell, type.base, out, reason);
    case Base::bytea: return encode_bytea(cell, out, reason);
    case Base::date:
    case Base::time:
    case Base::timestamp:
    case Base::timestamptz: return encode_time(cell, type.base, options.zone_offset, out, reason, rounded);
    case Base::uuid: return encode_uuid(cell, out, reason);
    case Base::json:
    case Base::jsonb: return encode_json(cell, type.base, options.text_is_json, out, reason);
    case Base::text:
    case Base::varchar:
    case Base::bpchar:
    case Base::other: break;
  }
  return encode_text(cell, type, out, reason);
}

}  // namespace

RowEncoder::RowEncoder(std::vector<ColumnType> types, EncodeOptions options)
    : types_(std::move(types)), options_(options) {}

void RowEncoder::begin(std::string& out) {
  using namespace std::string_view_literals;
  out.append("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"sv);
}

void RowEncoder::end(std::string& out) { append_integer(out, std::int16_t{-1}); }

std::optional<Misfit> RowEncoder::add(std::span<const Cell> cells, std::span<const std::int64_t> numbers,
                                      std::string& out) const {
  if (cells.size() > types_.size()) {
    return Misfit{types_.size(), fmt::format("{} values for {} columns", cells.size(), types_.size())};
  }
  const std::size_t before = out.size();
  append_integer(out, static_cast<std::int16_t>(types_.size() + numbers.size()));
  std::string reason;
  rounded_.clear();
  for (std::size_t column = 0; column < types_.size(); ++column) {
    if (column >= cells.size() || cells[column].is_null()) {
      put_null(out);
      continue;
    }
    bool rounded = false;
    if (!encode(cells[column], types_[column], options_, out, reason, rounded)) {
      out.resize(before);
      return Misfit{column, std::move(reason)};
    }
    if (rounded) rounded_.push_back(column);
  }
  for (const std::int64_t number : numbers) put_integer(out, number);
  return std::nullopt;
}

}  // namespace weir::load
