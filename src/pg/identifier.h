#pragma once

#include <string>
#include <string_view>

namespace weir::pg {

/// `name` as a double-quoted SQL identifier, whatever it contains.
std::string quote_identifier(std::string_view name);

/// `text` as an SQL string literal, for the few statements that take no parameters (SET ROLE, NOTIFY, DDL).
/// Independent of standard_conforming_strings.
std::string quote_literal(std::string_view text);

}  // namespace weir::pg
