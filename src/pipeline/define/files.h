#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir::pipeline {

/// The files of a project by their paths relative to it ("pipelines/shop/pipeline.yml"). Nothing outside of
/// it is ever read, whichever way a path or a symbolic link leads there.
class Files {
 public:
  enum class What : std::uint8_t { absent, file, folder, outside, other };

  Files() = default;
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  virtual ~Files() = default;

  [[nodiscard]] virtual What look(const std::string& path) const = 0;
  /// Throws Error (definition) where it cannot be read, or has more than `limit` bytes.
  [[nodiscard]] virtual std::string read(const std::string& path, std::size_t limit) const = 0;
  /// The names in a folder, in order, without those that begin with a dot.
  [[nodiscard]] virtual std::vector<std::string> list(const std::string& folder) const = 0;
};

class FolderFiles final : public Files {
 public:
  /// Throws Error (usage) where there is no such folder.
  explicit FolderFiles(const std::filesystem::path& folder);

  [[nodiscard]] What look(const std::string& path) const override;
  [[nodiscard]] std::string read(const std::string& path, std::size_t limit) const override;
  [[nodiscard]] std::vector<std::string> list(const std::string& folder) const override;
  /// Without symbolic links.
  [[nodiscard]] const std::filesystem::path& root() const noexcept { return root_; }

 private:
  std::filesystem::path root_;
};

/// For tests, the fuzzer, and what is not written yet.
class MemoryFiles final : public Files {
 public:
  explicit MemoryFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  [[nodiscard]] What look(const std::string& path) const override;
  [[nodiscard]] std::string read(const std::string& path, std::size_t limit) const override;
  [[nodiscard]] std::vector<std::string> list(const std::string& folder) const override;

 private:
  std::map<std::string, std::string> files_;
};

/// `path` as it is from the project, written in a file of `folder`; without `.` and `..`. Empty where it
/// leads out of the project or is absolute.
std::string join_path(std::string_view folder, std::string_view path);

}  // namespace weir::pipeline
