#include "cli/sql_argument.h"

#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::cli {

std::string read_sql_argument(const std::string& file_or_text) {
  if (file_or_text.empty())
    throw Error(ExitCode::usage, "--sql: there is no SQL in it",
                "Name a file, or write the SQL itself between quotes.");
  std::error_code failure;
  if (!std::filesystem::exists(file_or_text, failure)) {
    const bool one_word = file_or_text.find_first_of(" \t\n") == std::string::npos;
    if (one_word || file_or_text.ends_with(".sql")) {
      throw Error(ExitCode::usage, fmt::format("--sql: there is no file {}", printable(file_or_text)),
                  "Name a file, or write the SQL itself between quotes.");
    }
    return file_or_text;
  }
  const auto refuse = [&](std::string_view why) {
    throw Error(ExitCode::usage, fmt::format("--sql: cannot read {}{}", printable(file_or_text), why));
  };
  // To read one would throw.
  if (std::filesystem::is_directory(file_or_text, failure)) refuse(": it is a directory");
  std::ifstream file(file_or_text, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || !std::filesystem::is_regular_file(file_or_text, failure)) refuse("");
  return text;
}

}  // namespace weir::cli
