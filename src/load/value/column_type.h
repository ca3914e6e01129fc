#pragma once

#include <cstdint>
#include <string>

#include "pg/oid.h"

namespace weir::load {

/// What a column holds. Those that are named are written in PostgreSQL's binary form and checked here;
/// `other` (inet, ranges, enums, ..) travels as text and the server casts it.
enum class Base : std::uint8_t {
  boolean,
  int2,
  int4,
  int8,
  numeric,
  float4,
  float8,
  text,
  varchar,
  bpchar,
  bytea,
  date,
  time,
  timestamp,
  timestamptz,
  uuid,
  json,
  jsonb,
  other,
};

struct ColumnType {
  Base base = Base::text;
  std::int32_t modifier = -1;  ///< atttypmod: the length of varchar(n), precision and scale of numeric(p,s)
  pg::Oid oid = pg::oid::kText;
  std::string sql = "text";  ///< as format_type() writes it

  friend bool operator==(const ColumnType& a, const ColumnType& b) {
    return a.base == b.base && a.modifier == b.modifier && a.oid == b.oid;
  }
};

/// The type without a modifier: of a column that Weir makes.
ColumnType type_of(Base base);
/// From the catalogue. A domain is `other`: the server checks it.
ColumnType type_of(pg::Oid oid, std::int32_t modifier, std::string sql);

}  // namespace weir::load
