#include "embedded/postmaster_file.h"

#include <charconv>
#include <vector>

#include "base/text.h"

namespace weir::embedded {

namespace {

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto end = text.data() + text.size();
  const auto [stopped, failure] = std::from_chars(text.data(), end, number);
  return failure == std::errc() && stopped == end;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  // A last line without its end is still being written.
  for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
    lines.push_back(trim(text.substr(0, end)));
  }
  return lines;
}

}  // namespace

std::optional<PostmasterFile> parse_postmaster_file(std::string_view text) {
  const auto lines = lines_of(text);
  const auto line = [&](std::size_t index) {
    return index < lines.size() ? lines[index] : std::string_view();
  };
  PostmasterFile file;
  if (!read_number(line(0), file.pid) || file.pid <= 0) return std::nullopt;
  read_number(line(2), file.started);
  read_number(line(3), file.port);
  file.socket_folder = line(4);
  file.listen_address = line(5);
  file.status = line(7);
  return file;
}

std::string without_process(std::string_view text) {
  constexpr std::string_view kNobody = "2147483647";  // Linux stops at 4194304
  const std::size_t end = text.find('\n');
  return std::string(kNobody) + (end == std::string_view::npos ? "\n" : std::string(text.substr(end)));
}

}  // namespace weir::embedded
