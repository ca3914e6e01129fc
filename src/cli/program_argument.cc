#include "cli/program_argument.h"

#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "exec/command.h"

namespace weir::cli {

void check_program(const std::vector<std::string>& words) {
  const char* const path = std::getenv("PATH");
  const auto program = exec::find_program(words.front(), path == nullptr ? "/usr/bin:/bin" : path);
  std::error_code failure;
  if (program && std::filesystem::is_regular_file(*program, failure) && ::access(program->c_str(), X_OK) == 0)
    return;
  const bool is_path = words.front().find('/') != std::string::npos;
  throw Error(
      ExitCode::usage,
      fmt::format("cannot run {}: {}", printable(words.front()),
                  is_path ? "it is not an executable file" : "it is not on PATH"),
      is_path ? "Check its name, and make it executable: chmod +x" : "Name it with its folder: ./NAME");
}

}  // namespace weir::cli
