#include "cli/command.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::cli {

std::optional<std::string> Arguments::value(std::string_view option) const {
  const auto found = options_.find(option);
  if (found == options_.end()) return std::nullopt;
  return found->second.back();
}

std::vector<std::string> Arguments::values(std::string_view option) const {
  const auto found = options_.find(option);
  return found == options_.end() ? std::vector<std::string>() : found->second;
}

std::optional<Duration> Arguments::duration(std::string_view option, Duration least, Duration most) const {
  const auto text = value(option);
  if (!text) return std::nullopt;
  const auto span = parse_duration(*text);
  if (span && *span >= least && *span <= most) return span;
  throw Error(ExitCode::usage,
              fmt::format("--{} is '{}', which is not a time from {} to {}", option, printable(*text),
                          human_duration(least), human_duration(most)),
              "Write it as 250ms, 5s, 2m, 1h or 1d.");
}

std::optional<int> Arguments::number(std::string_view option, int least, int most) const {
  const auto text = value(option);
  if (!text) return std::nullopt;
  int number = 0;
  const char* const end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number < least || number > most) {
    throw Error(ExitCode::usage,
                fmt::format("--{} is '{}', which is not a number from {} to {}", option, printable(*text),
                            least, most),
                "The command's --help says what it is for.");
  }
  return number;
}

const Command* Registry::find(std::string_view path) const noexcept {
  const auto found =
      std::find_if(commands.begin(), commands.end(), [&](const Command& c) { return c.path == path; });
  return found == commands.end() ? nullptr : &*found;
}

const CommandGroup* Registry::find_group(std::string_view name) const noexcept {
  const auto found =
      std::find_if(groups.begin(), groups.end(), [&](const CommandGroup& g) { return g.name == name; });
  return found == groups.end() ? nullptr : &*found;
}

std::vector<std::string_view> Registry::words_after(std::string_view group) const {
  std::vector<std::string_view> words;
  for (const Command& command : commands) {
    const std::size_t space = command.path.find(' ');
    const bool within = space != std::string_view::npos;
    const std::string_view parent = within ? command.path.substr(0, space) : std::string_view();
    std::string_view word;
    if (group.empty()) {
      word = within ? parent : command.path;
    } else if (parent == group) {
      word = command.path.substr(space + 1);
    }
    if (!word.empty() && std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
  }
  return words;
}

}  // namespace weir::cli
