#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

/// A file of the project that `weir init` makes.
struct NewFile {
  std::string_view path;
  std::string text;
};

/// A pipeline that makes rates with sh and awk, loads them, and has a model with checks: it runs with nothing
/// else installed.
std::vector<NewFile> new_project_files(std::string_view name);

/// Writes them into `folder`, which is made where it is missing; answers what was written, in order. Throws
/// Error (refused), and has written nothing, where one of them is there. A .gitignore that is there gets what
/// it lacks.
std::vector<std::string> write_new_project(const std::filesystem::path& folder);

}  // namespace weir::cli
