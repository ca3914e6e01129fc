#include "schema/gen/signature.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"

namespace weir::sqlgen {
namespace {

/// What PostgreSQL keeps of a prepared statement's name; two longer ones could become the same.
constexpr std::size_t kLongestName = 63;

/// Columns become members of a C++ struct. Each word stands between two spaces.
constexpr std::string_view kReserved =
    " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t "
    "class "
    "co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue "
    "decltype "
    "default delete do double dynamic_cast else enum explicit export extern false float for friend goto if "
    "inline "
    "int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public "
    "register "
    "reinterpret_cast requires return short signed sizeof static static_assert static_cast struct switch "
    "template "
    "this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile "
    "wchar_t "
    "while xor xor_eq ";

bool is_reserved(std::string_view name) {
  return kReserved.find(" " + std::string(name) + " ") != std::string_view::npos;
}

[[noreturn]] void fail(std::string message) { throw SignatureError{std::move(message)}; }

std::string quoted(std::string_view word) { return std::string("'").append(word).append("'"); }

void check_name(std::string_view kind, std::string_view name) {
  if (!is_snake_case(name)) fail(std::string(kind) + " name " + quoted(name) + " is not snake_case");
  if (name.size() > kLongestName)
    fail(std::string(kind) + " name " + quoted(name) + " is longer than 63 bytes");
}

/// Takes `(..)` from the head of `text` and returns what is inside.
std::string_view take_brackets(std::string_view& text, std::string_view after) {
  text = trim(text);
  if (!text.starts_with('(')) fail("expected '(' after " + std::string(after));
  const std::size_t end = text.find(')');
  if (end == std::string_view::npos) fail("')' is missing in the header");
  const std::string_view inside = text.substr(1, end - 1);
  text.remove_prefix(end + 1);
  return inside;
}

Field parse_field(std::string_view kind, std::string_view text) {
  text = trim(text);
  const std::size_t space = text.find_first_of(" \t\n");
  if (space == std::string_view::npos) {
    fail("expected '<name> <type>' for a " + std::string(kind) + ", found " + quoted(text));
  }
  const std::string_view name = text.substr(0, space);
  const std::string_view type_text = trim(text.substr(space));
  check_name(kind, name);
  const std::optional<SqlType> type = SqlType::parse(type_text);
  if (!type) {
    fail("unknown type " + quoted(type_text) + " of " + std::string(kind) + ' ' + quoted(name) +
         "; known are " + SqlType::known_names() + ", each also with [] and with ? for NULL");
  }
  return {std::string(name), *type};
}

std::vector<Field> parse_fields(std::string_view kind, std::string_view text) {
  std::vector<Field> fields;
  if (trim(text).empty()) return fields;
  while (true) {
    const std::size_t comma = text.find(',');
    Field field = parse_field(kind, text.substr(0, comma));
    const auto same = [&](const Field& other) { return other.name == field.name; };
    if (std::any_of(fields.begin(), fields.end(), same)) {
      fail(std::string(kind) + ' ' + quoted(field.name) + " appears twice");
    }
    fields.push_back(std::move(field));
    if (comma == std::string_view::npos) return fields;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

bool is_complete_signature(std::string_view text) noexcept {
  const auto opened = std::count(text.begin(), text.end(), '(');
  const auto closed = std::count(text.begin(), text.end(), ')');
  return opened <= closed && !trim(text).ends_with("->");
}

Signature parse_signature(std::string_view text) {
  text = trim(text);
  Signature signature;
  const std::size_t name_end = text.find_first_of("( \t\n");
  signature.name = std::string(text.substr(0, name_end));
  check_name("query", signature.name);
  text.remove_prefix(signature.name.size());
  signature.parameters = parse_fields("parameter", take_brackets(text, "the query's name"));

  text = trim(text);
  if (text.empty()) return signature;
  if (!text.starts_with("->")) fail("expected '->' or the end of the header, found " + quoted(text));
  text.remove_prefix(2);
  signature.columns = parse_fields("column", take_brackets(text, "'->'"));
  if (signature.columns.empty()) fail("no columns after '->': leave it out for a query without rows");
  for (const Field& column : signature.columns) {
    if (is_reserved(column.name))
      fail("column name " + quoted(column.name) + " is a word of C++; rename it with AS");
  }
  if (text = trim(text); !text.empty()) fail("expected the end of the header, found " + quoted(text));
  return signature;
}

}  // namespace weir::sqlgen
