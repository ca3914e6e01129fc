#include "load/value/column_type.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace weir::load {
namespace {

// Of the types that only loads write.
constexpr pg::Oid kDate = 1082;
constexpr pg::Oid kTime = 1083;
constexpr pg::Oid kTimestamp = 1114;
constexpr pg::Oid kNumeric = 1700;

struct Known {
  Base base;
  pg::Oid oid;
  std::string_view name;
  std::string_view sql;
};

// In the order of Base.
constexpr std::array kKnown{
    Known{Base::boolean, pg::oid::kBool, "boolean", "boolean"},
    Known{Base::int2, pg::oid::kInt2, "int2", "smallint"},
    Known{Base::int4, pg::oid::kInt4, "int4", "integer"},
    Known{Base::int8, pg::oid::kInt8, "int8", "bigint"},
    Known{Base::numeric, kNumeric, "numeric", "numeric"},
    Known{Base::float4, pg::oid::kFloat4, "float4", "real"},
    Known{Base::float8, pg::oid::kFloat8, "float8", "double precision"},
    Known{Base::text, pg::oid::kText, "text", "text"},
    Known{Base::varchar, pg::oid::kVarchar, "varchar", "character varying"},
    Known{Base::bpchar, pg::oid::kBpchar, "char", "bpchar"},
    Known{Base::bytea, pg::oid::kBytea, "bytea", "bytea"},
    Known{Base::date, kDate, "date", "date"},
    Known{Base::time, kTime, "time", "time without time zone"},
    Known{Base::timestamp, kTimestamp, "timestamp", "timestamp without time zone"},
    Known{Base::timestamptz, pg::oid::kTimestamptz, "timestamptz", "timestamp with time zone"},
    Known{Base::uuid, pg::oid::kUuid, "uuid", "uuid"},
    Known{Base::json, pg::oid::kJson, "json", "json"},
    Known{Base::jsonb, pg::oid::kJsonb, "jsonb", "jsonb"},
};

// What PostgreSQL adds to a length or to precision and scale in atttypmod.
constexpr std::int32_t kModifierHeader = 4;

const Known& known(Base base) noexcept {
  const Base named = base == Base::other ? Base::text : base;
  return kKnown.at(static_cast<std::size_t>(named));
}

}  // namespace

ColumnType type_of(Base base) {
  const Known& found = known(base);
  return {.base = found.base, .oid = found.oid, .sql = std::string(found.sql)};
}

ColumnType type_of(pg::Oid oid, std::int32_t modifier, std::string sql) {
  const auto* const found =
      std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& one) { return one.oid == oid; });
  const Base base = found == kKnown.end() ? Base::other : found->base;
  return {.base = base, .modifier = modifier, .oid = oid, .sql = std::move(sql)};
}

std::string_view base_name(Base base) noexcept { return base == Base::other ? "other" : known(base).name; }

std::optional<std::size_t> length_limit(const ColumnType& type) noexcept {
  const bool has_length = type.base == Base::varchar || type.base == Base::bpchar;
  if (!has_length || type.modifier < kModifierHeader) return std::nullopt;
  return static_cast<std::size_t>(type.modifier - kModifierHeader);
}

std::optional<NumericLimits> numeric_limits(const ColumnType& type) noexcept {
  if (type.base != Base::numeric || type.modifier < kModifierHeader) return std::nullopt;
  const std::int32_t packed = type.modifier - kModifierHeader;
  // The scale is a signed number of eleven bits.
  return NumericLimits{.precision = packed >> 16, .scale = ((packed & 0x7FF) ^ 1024) - 1024};
}

ColumnType varchar_of(std::size_t length) {
  ColumnType type = type_of(Base::varchar);
  type.modifier = static_cast<std::int32_t>(length) + kModifierHeader;
  type.sql = fmt::format("character varying({})", length);
  return type;
}

ColumnType bpchar_of(std::size_t length) {
  ColumnType type = type_of(Base::bpchar);
  type.modifier = static_cast<std::int32_t>(length) + kModifierHeader;
  type.sql = fmt::format("character({})", length);
  return type;
}

ColumnType numeric_of(NumericLimits limits) {
  ColumnType type = type_of(Base::numeric);
  type.modifier = (limits.precision * 65536 + (limits.scale & 0x7FF)) + kModifierHeader;
  type.sql = fmt::format("numeric({},{})", limits.precision, limits.scale);
  return type;
}

}  // namespace weir::load
