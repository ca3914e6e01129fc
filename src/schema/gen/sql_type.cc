#include "schema/gen/sql_type.h"

#include <algorithm>
#include <array>

namespace weir::sqlgen {
namespace {

struct BaseType {
  std::string_view name;
  std::string_view cpp;
  std::string_view oid;
};

constexpr std::array kBaseTypes{
    BaseType{"bool", "bool", "kBool"},
    BaseType{"int2", "std::int16_t", "kInt2"},
    BaseType{"int4", "std::int32_t", "kInt4"},
    BaseType{"int8", "std::int64_t", "kInt8"},
    BaseType{"float4", "float", "kFloat4"},
    BaseType{"float8", "double", "kFloat8"},
    BaseType{"text", "std::string_view", "kText"},
    BaseType{"bytea", "pg::BytesView", "kBytea"},
    BaseType{"jsonb", "pg::JsonView", "kJsonb"},
    BaseType{"timestamptz", "WallTime", "kTimestamptz"},
    BaseType{"uuid", "pg::Uuid", "kUuid"},
};

const BaseType* find(std::string_view name) noexcept {
  const auto* const found = std::find_if(kBaseTypes.begin(), kBaseTypes.end(),
                                         [name](const BaseType& type) { return type.name == name; });
  return found == kBaseTypes.end() ? nullptr : found;
}

bool take_suffix(std::string_view& text, std::string_view suffix) noexcept {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

std::string wrap(std::string_view outer, std::string_view inner) {
  return std::string(outer).append("<").append(inner).append(">");
}

}  // namespace

std::optional<SqlType> SqlType::parse(std::string_view text) {
  SqlType type;
  type.nullable = take_suffix(text, "?");
  type.array = take_suffix(text, "[]");
  if (type.array) type.nullable_elements = take_suffix(text, "?");
  const BaseType* base = find(text);
  if (base == nullptr) return std::nullopt;
  type.name = base->name;
  return type;
}

std::string SqlType::known_names() {
  std::string names;
  for (const BaseType& type : kBaseTypes) names.append(names.empty() ? "" : ", ").append(type.name);
  return names;
}

std::string SqlType::cpp() const {
  std::string text(find(name)->cpp);
  if (nullable_elements) text = wrap("std::optional", text);
  if (array) text = wrap("std::vector", text);
  if (nullable) text = wrap("std::optional", text);
  return text;
}

std::string SqlType::oid() const {
  return std::string("pg::oid::").append(find(name)->oid).append(array ? "Array" : "");
}

}  // namespace weir::sqlgen
