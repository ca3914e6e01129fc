#include "pipeline/define/names.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/text.h"
#include "pg/identifier.h"

namespace weir::pipeline {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::size_t kLongest = 200;

// PostgreSQL's reserved words; those that may not name a column or a table without quotes.
constexpr std::array kReserved{"all"sv,
                               "analyse"sv,
                               "analyze"sv,
                               "and"sv,
                               "any"sv,
                               "array"sv,
                               "as"sv,
                               "asc"sv,
                               "asymmetric"sv,
                               "authorization"sv,
                               "binary"sv,
                               "both"sv,
                               "case"sv,
                               "cast"sv,
                               "check"sv,
                               "collate"sv,
                               "collation"sv,
                               "column"sv,
                               "concurrently"sv,
                               "constraint"sv,
                               "create"sv,
                               "cross"sv,
                               "current_catalog"sv,
                               "current_date"sv,
                               "current_role"sv,
                               "current_schema"sv,
                               "current_time"sv,
                               "current_timestamp"sv,
                               "current_user"sv,
                               "default"sv,
                               "deferrable"sv,
                               "desc"sv,
                               "distinct"sv,
                               "do"sv,
                               "else"sv,
                               "end"sv,
                               "except"sv,
                               "false"sv,
                               "fetch"sv,
                               "for"sv,
                               "foreign"sv,
                               "freeze"sv,
                               "from"sv,
                               "full"sv,
                               "grant"sv,
                               "group"sv,
                               "having"sv,
                               "ilike"sv,
                               "in"sv,
                               "initially"sv,
                               "inner"sv,
                               "intersect"sv,
                               "into"sv,
                               "is"sv,
                               "isnull"sv,
                               "join"sv,
                               "lateral"sv,
                               "leading"sv,
                               "left"sv,
                               "like"sv,
                               "limit"sv,
                               "localtime"sv,
                               "localtimestamp"sv,
                               "natural"sv,
                               "not"sv,
                               "notnull"sv,
                               "null"sv,
                               "offset"sv,
                               "on"sv,
                               "only"sv,
                               "or"sv,
                               "order"sv,
                               "outer"sv,
                               "overlaps"sv,
                               "placing"sv,
                               "primary"sv,
                               "references"sv,
                               "returning"sv,
                               "right"sv,
                               "select"sv,
                               "session_user"sv,
                               "similar"sv,
                               "some"sv,
                               "symmetric"sv,
                               "table"sv,
                               "tablesample"sv,
                               "then"sv,
                               "to"sv,
                               "trailing"sv,
                               "true"sv,
                               "union"sv,
                               "unique"sv,
                               "user"sv,
                               "using"sv,
                               "variadic"sv,
                               "verbose"sv,
                               "when"sv,
                               "where"sv,
                               "window"sv,
                               "with"sv};

static_assert(std::is_sorted(kReserved.begin(), kReserved.end()));

bool begins_name(char c) noexcept {
  return is_letter(c) || c == '_' || (static_cast<unsigned char>(c) & 0x80U) != 0;
}
bool continues_name(char c) noexcept { return begins_name(c) || is_digit(c) || c == '$'; }

/// One part of a relation's name, from the front of `text`; nothing where it is none.
std::optional<std::string> take_part(std::string_view& text) {
  std::string part;
  if (text.starts_with('"')) {
    std::size_t at = 1;
    for (; at < text.size(); ++at) {
      if (text[at] != '"') {
        part += text[at];
      } else if (text.substr(at + 1).starts_with('"')) {
        part += text[at++];
      } else {
        break;
      }
    }
    if (at >= text.size() || part.empty()) return {};
    text.remove_prefix(at + 1);
    return part;
  }
  const auto end =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), continues_name) - text.begin());
  if (end == 0 || is_digit(text.front()) || text.front() == '$') return {};
  for (const char c : text.substr(0, end)) part += is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  text.remove_prefix(end);
  return part;
}

}  // namespace

std::optional<std::string> name_fault(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.size() > kLongest) return fmt::format("it has {} bytes, more than {}", name.size(), kLongest);
  if (name == "." || name == "..") return "it stands for a folder of its own";
  if (name.starts_with('-')) return "it begins with a dash, as options do";
  if (name.starts_with('.')) return "it begins with a dot, as hidden files do";
  if (name.find('/') != std::string_view::npos) return "it has a slash in it";
  if (trim(name).size() != name.size()) return "it begins or ends with a blank";
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    if (length == 0) return "it is no UTF-8";
    if (is_control(rest)) return "it has a control character in it";
    rest.remove_prefix(length);
  }
  return {};
}

bool is_variable_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > kLongest || is_digit(name.front())) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return c == '_' || is_digit(c) || is_letter(c); });
}

std::optional<std::string> normal_relation(std::string_view text) {
  const auto first = take_part(text);
  if (!first) return {};
  if (text.empty()) return sql_name(*first);
  if (!text.starts_with('.')) return {};
  text.remove_prefix(1);
  const auto second = take_part(text);
  if (!second || !text.empty()) return {};
  return sql_name(*first) + "." + sql_name(*second);
}

std::string sql_name(std::string_view name) {
  const bool plain =
      !name.empty() && !is_digit(name.front()) &&
      std::all_of(name.begin(), name.end(), [](char c) { return is_lower(c) || c == '_' || is_digit(c); });
  if (plain && !std::binary_search(kReserved.begin(), kReserved.end(), name)) return std::string(name);
  return pg::quote_identifier(name);
}

}  // namespace weir::pipeline
