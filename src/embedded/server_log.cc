#include "embedded/server_log.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "base/text.h"

namespace weir::embedded {

namespace fs = std::filesystem;

namespace {

constexpr std::array<std::string_view, 6> kSevere{
    "FATAL:", "PANIC:", "ERROR:", "error:", "could not", "No space left"};

constexpr std::array<std::string_view, 21> kChatter{
    "starting PostgreSQL",      "listening on",
    "redirecting log output",   "Future log output",
    "database system is shut",  "database system was",
    "database system is ready", "shutting down",
    "removing data directory",  "removing contents of",
    "data directory \"",        "child process exited",
    "child process was",        "checkpoint starting",
    "checkpoint complete",      "PostgreSQL stand-alone backend",
    "received fast shutdown",   "aborting any active",
    "background worker \"",     " ... ok",
    "recovering prepared"};

template <std::size_t Size>
bool has_any(std::string_view line, const std::array<std::string_view, Size>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return line.find(word) != line.npos; });
}

/// From the severity on: what stands before it is the time and the process.
std::string_view without_prefix(std::string_view line) {
  constexpr std::array<std::string_view, 8> kSeverities{
      "FATAL:", "PANIC:", "ERROR:", "WARNING:", "LOG:", "HINT:", "DETAIL:", "CONTEXT:"};
  for (const std::string_view severity : kSeverities) {
    const std::size_t at = line.find(severity);
    if (at != std::string_view::npos) return line.substr(at);
  }
  return line;
}

std::string tidy(std::string_view line) {
  std::string out;
  for (const char c : printable(without_prefix(trim(line)))) {
    if (c != ' ' || !out.ends_with(' ')) out += c;
  }
  return elide(out, 300);
}

}  // namespace

std::vector<std::string> telling_lines(std::string_view output, std::size_t most) {
  std::vector<std::string> lines;
  while (!output.empty()) {
    const std::size_t end = std::min(output.find('\n'), output.size());
    const std::string_view line = trim(output.substr(0, end));
    output.remove_prefix(std::min(end + 1, output.size()));
    if (line.empty() || has_any(line, kChatter)) continue;
    lines.push_back(tidy(line));
  }
  if (lines.size() > most) lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(most));
  return lines;
}

std::string last_useful_line(std::string_view output) {
  const auto lines = telling_lines(output, output.size());
  const auto severe =
      std::find_if(lines.rbegin(), lines.rend(), [](const auto& line) { return has_any(line, kSevere); });
  if (severe != lines.rend()) return *severe;
  return lines.empty() ? std::string() : lines.back();
}

LogMark::LogMark(fs::path folder) : folder_(std::move(folder)) {
  std::error_code failure;
  for (fs::directory_iterator it(folder_, failure), end; !failure && it != end; it.increment(failure)) {
    std::error_code gone;
    sizes_[it->path()] = it->file_size(gone);
  }
}

std::string LogMark::news() const {
  constexpr std::uintmax_t kMost = 64 * 1024;
  std::vector<fs::path> files;
  std::error_code failure;
  for (fs::directory_iterator it(folder_, failure), end; !failure && it != end; it.increment(failure)) {
    files.push_back(it->path());
  }
  // start.log sorts behind postgresql-*.log, but is written first.
  std::sort(files.begin(), files.end(), std::greater<>());
  std::string out;
  for (const fs::path& file : files) {
    const std::uintmax_t size = fs::file_size(file, failure);
    if (failure) continue;
    const auto before = sizes_.find(file);
    // Shorter than it was means that its weekday came again and it was emptied.
    std::uintmax_t from = before == sizes_.end() || before->second > size ? 0 : before->second;
    from = std::max(from, size > kMost ? size - kMost : 0);
    std::ifstream in(file, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(from));
    out.append(std::istreambuf_iterator<char>(in), {});
  }
  return out;
}

}  // namespace weir::embedded
