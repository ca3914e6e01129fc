// Scripts of strangers. What holds for each: it is refused with its file and a line, or its statements follow
// one another, and each of them is one statement by itself.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "pipeline/task/sql_script.h"

namespace {

using weir::pipeline::SqlScript;

void require(bool holds, std::string_view what, std::string_view text) {
  if (holds) return;
  fmt::print(stderr, "{}: {}\n", what, text);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const SqlScript script(text, "fuzz.sql");
    std::size_t end = 0;
    int line = 1;
    for (const auto& statement : script.statements()) {
      require(statement.size > 0 && statement.begin >= end, "statements overlap", text);
      end = statement.begin + statement.size;
      require(end <= text.size() && statement.line >= line, "a place outside of it", text);
      line = statement.line;
      const std::string one = script.text_of(statement);
      const SqlScript alone(one, "");
      require(alone.statements().size() == 1 && alone.text_of(alone.statements()[0]) == one,
              "a statement is not one by itself", one);
      const auto position = script.position_of(statement, 1);
      require(position.line == statement.line && position.column >= 1, "another line", text);
    }
  } catch (const weir::Error& error) {
    require(std::string_view(error.what()).starts_with("fuzz.sql:"), "an error without its place",
            error.what());
  }
  return 0;
}
