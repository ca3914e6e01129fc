// Any text either parses or is refused with a place inside of it; what parses can be written as C++.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "schema/gen/emit.h"
#include "schema/gen/sql_lexer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::sqlgen;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    emit_queries_header(parse_queries(text));
  } catch (const SyntaxError& error) {
    if (error.offset > size) std::abort();
  }
  try {
    emit_migrations_source({parse_migration("001_fuzz.sql", std::string(text))});
  } catch (const SyntaxError& error) {
    if (error.offset > size) std::abort();
  }
  return 0;
}
