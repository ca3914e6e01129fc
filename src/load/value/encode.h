#pragma once

#include <string>
#include <string_view>

#include "load/value/cell.h"
#include "load/value/column_type.h"
#include "load/value/row_encoder.h"

// One function for each family of types. Each appends a field of COPY BINARY, or answers false with the
// reason and leaves behind what it has written so far: the row is cut off. A cell is never null here.

namespace weir::load {

bool encode_boolean(const Cell& cell, std::string& out, std::string& reason);
/// int2, int4, int8.
bool encode_integer(const Cell& cell, Base base, std::string& out, std::string& reason);
/// float4, float8.
bool encode_float(const Cell& cell, Base base, std::string& out, std::string& reason);
bool encode_numeric(const Cell& cell, const ColumnType& type, std::string& out, std::string& reason);
/// date, time, timestamp, timestamptz. `rounded` becomes true where digits of a second are lost.
bool encode_time(const Cell& cell, Base base, std::int32_t zone_offset, std::string& out, std::string& reason,
                 bool& rounded);
/// text, varchar, bpchar and all that travels as text.
bool encode_text(const Cell& cell, const ColumnType& type, std::string& out, std::string& reason);
bool encode_bytea(const Cell& cell, std::string& out, std::string& reason);
bool encode_uuid(const Cell& cell, std::string& out, std::string& reason);
/// json, jsonb.
bool encode_json(const Cell& cell, Base base, bool text_is_json, std::string& out, std::string& reason);

/// "'12x' is no int4": false, for the caller to return.
bool refuse(const Cell& cell, Base base, std::string& reason);
/// "'70000' is out of the range of int2"
bool refuse_range(const Cell& cell, std::string_view type, std::string& reason);

}  // namespace weir::load
