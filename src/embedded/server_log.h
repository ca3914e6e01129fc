#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace weir::embedded {

/// The lines of a server's or of initdb's output that say why it failed, at most `most`, without the chatter
/// that every start and end prints, and without time stamps.
std::vector<std::string> telling_lines(std::string_view output, std::size_t most);

/// The one of them that says most, for a message of one paragraph; empty when there is none.
std::string last_useful_line(std::string_view output);

/// Remembers how far the files of a log folder go, to tell later what was written since.
class LogMark {
 public:
  explicit LogMark(std::filesystem::path folder);
  /// Bounded: of each file the last 64 KiB.
  [[nodiscard]] std::string news() const;

 private:
  std::filesystem::path folder_;
  std::map<std::filesystem::path, std::uintmax_t> sizes_;
};

}  // namespace weir::embedded
