#include "pg/identifier.h"

#include "pg/error.h"

namespace weir::pg {
namespace {

std::string doubled(std::string_view text, char quote, std::string_view what) {
  if (text.find('\0') != std::string_view::npos) {
    raise({.kind = ErrorKind::misuse, .message = "a zero byte in " + std::string(what)});
  }
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote) out.push_back(quote);
    out.push_back(c);
  }
  out.push_back(quote);
  return out;
}

}  // namespace

std::string quote_identifier(std::string_view name) {
  if (name.empty()) raise({.kind = ErrorKind::misuse, .message = "an SQL identifier cannot be empty"});
  return doubled(name, '"', "an SQL identifier");
}

std::string quote_literal(std::string_view text) {
  if (text.find('\\') == std::string_view::npos) return doubled(text, '\'', "an SQL literal");
  // E'..' means the same under either setting of standard_conforming_strings.
  std::string escaped;
  for (const char c : text) {
    if (c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return " E" + doubled(escaped, '\'', "an SQL literal");
}

}  // namespace weir::pg
