#include "cli/sql_argument.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::cli {

std::string read_sql_argument(const std::string& file_or_text) {
  std::error_code failure;
  if (!std::filesystem::exists(file_or_text, failure)) {
    const bool one_word = file_or_text.find_first_of(" \t\n") == std::string::npos;
    if (one_word || file_or_text.ends_with(".sql")) {
      throw Error(ExitCode::usage, fmt::format("--sql: there is no file {}", printable(file_or_text)),
                  "Name a file, or write the SQL itself between quotes.");
    }
    return file_or_text;
  }
  std::ifstream file(file_or_text, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || !std::filesystem::is_regular_file(file_or_text, failure))
    throw Error(ExitCode::usage, fmt::format("--sql: cannot read {}", printable(file_or_text)));
  return text;
}

}  // namespace weir::cli
