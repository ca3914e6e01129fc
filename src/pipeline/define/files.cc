#include "pipeline/define/files.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::pipeline {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_unreadable(const std::string& path, const std::string& why) {
  throw Error(ExitCode::definition, fmt::format("cannot read {}: {}", printable(path), why));
}

[[noreturn]] void throw_too_large(const std::string& path, std::uint64_t bytes, std::size_t limit) {
  throw_unreadable(path,
                   fmt::format("it has {}, and at most {} are read", human_bytes(bytes), human_bytes(limit)));
}

bool is_within(const fs::path& path, const fs::path& root) {
  const auto [at, unused] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return at == root.end();
}

}  // namespace

FolderFiles::FolderFiles(const fs::path& folder) {
  std::error_code error;
  root_ = fs::canonical(folder, error);
  if (!error && !fs::is_directory(root_, error) && !error)
    error = std::make_error_code(std::errc::not_a_directory);
  if (error) {
    throw Error(ExitCode::usage,
                fmt::format("cannot use project folder {}: {}", printable(folder.string()), error.message()),
                "Name the folder that has weir.yml in it: weir -C DIR ..");
  }
}

Files::What FolderFiles::look(const std::string& path) const {
  std::error_code error;
  const fs::path real = fs::canonical(root_ / path, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) {
    // A link to nothing may lead out all the same; it is of no use either way.
    return What::absent;
  }
  if (error) return What::other;
  if (!is_within(real, root_)) return What::outside;
  const fs::file_status status = fs::status(real, error);
  if (error) return What::other;
  if (fs::is_regular_file(status)) return What::file;
  return fs::is_directory(status) ? What::folder : What::other;
}

std::string FolderFiles::read(const std::string& path, std::size_t limit) const {
  if (look(path) != What::file) throw_unreadable(path, "it is no file of the project");
  std::error_code error;
  const std::uintmax_t bytes = fs::file_size(root_ / path, error);
  if (error) throw_unreadable(path, error.message());
  if (bytes > limit) throw_too_large(path, bytes, limit);
  std::ifstream in(root_ / path, std::ios::binary);
  if (!in) throw_unreadable(path, "permission denied");
  std::string text(static_cast<std::size_t>(bytes), '\0');
  in.read(text.data(), static_cast<std::streamsize>(bytes));
  if (in.bad()) throw_unreadable(path, "the disk failed");
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

std::vector<std::string> FolderFiles::list(const std::string& folder) const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(root_ / folder, error), end; !error && at != end; at.increment(error)) {
    std::string name = at->path().filename().string();
    if (!name.starts_with('.')) names.push_back(std::move(name));
  }
  if (error) throw_unreadable(folder, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

Files::What MemoryFiles::look(const std::string& path) const {
  if (files_.contains(path)) return What::file;
  const auto below = files_.lower_bound(path + "/");
  return below != files_.end() && below->first.starts_with(path + "/") ? What::folder : What::absent;
}

std::string MemoryFiles::read(const std::string& path, std::size_t limit) const {
  const auto found = files_.find(path);
  if (found == files_.end()) throw_unreadable(path, "it is no file of the project");
  if (found->second.size() > limit) throw_too_large(path, found->second.size(), limit);
  return found->second;
}

std::vector<std::string> MemoryFiles::list(const std::string& folder) const {
  std::set<std::string> names;
  for (auto at = files_.lower_bound(folder + "/"); at != files_.end() && at->first.starts_with(folder + "/");
       ++at) {
    const std::string_view rest = std::string_view(at->first).substr(folder.size() + 1);
    const std::string_view name = rest.substr(0, rest.find('/'));
    if (!name.starts_with('.')) names.emplace(name);
  }
  return {names.begin(), names.end()};
}

std::string join_path(std::string_view folder, std::string_view path) {
  if (path.empty() || path.starts_with('/')) return {};
  const std::string joined = (fs::path(folder) / fs::path(path)).lexically_normal().generic_string();
  if (joined == ".." || joined.starts_with("../")) return {};
  return joined;
}

}  // namespace weir::pipeline
