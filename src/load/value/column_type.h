#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

/// The type without a modifier: of a column that Weir makes. Of `other`, which is no type, text.
ColumnType type_of(Base base);
/// From the catalogue. A domain is `other`: the server checks it.
ColumnType type_of(pg::Oid oid, std::int32_t modifier, std::string sql);

/// For messages: "int4", "timestamptz".
std::string_view base_name(Base base) noexcept;

/// The n of varchar(n) and bpchar(n).
std::optional<std::size_t> length_limit(const ColumnType& type) noexcept;

struct NumericLimits {
  std::int32_t precision = 0;
  std::int32_t scale = 0;  ///< below zero it rounds in front of the point (PostgreSQL 15)
};
std::optional<NumericLimits> numeric_limits(const ColumnType& type) noexcept;

ColumnType varchar_of(std::size_t length);
ColumnType bpchar_of(std::size_t length);
ColumnType numeric_of(NumericLimits limits);

}  // namespace weir::load
