#include "pipeline/define/yaml/syntax.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/text.h"

namespace weir::pipeline::yaml {
namespace {

struct Wording {
  std::string_view theirs;  ///< a part of it
  std::string_view ours;
  std::string_view remedy;
};

constexpr std::array kWordings{
    Wording{"illegal map value", "a ':' where no key can stand",
            "Check the indentation; a text with ': ' in it needs quotes."},
    Wording{"illegal map key", "a key where none can stand", "Check the indentation."},
    Wording{
        "end of sequence flow not found", "the list that begins with '[' does not go on here",
        "Write ',' or ']'. Within [..] a text with brackets, braces or commas needs quotes: \"${param:x}\"."},
    Wording{
        "end of map flow not found", "the mapping that begins with '{' does not go on here",
        "Write ',' or '}'. Within {..} a text with brackets, braces or commas needs quotes: \"${env:X}\"."},
    Wording{"illegal flow end", "a closing bracket that nothing has opened",
            "Take it out, or put the text in quotes."},
    Wording{"end of map not found", "a line that does not belong to the mapping above",
            "Check the indentation."},
    Wording{"end of sequence not found", "a line that does not belong to the list above",
            "Check the indentation."},
    Wording{"illegal block entry", "a list entry where none can stand",
            "Put it on a line of its own, indented like the others of its list."},
    Wording{"alias not found after *", "a text cannot begin with '*'", "Put it in quotes: \"*/5 * * * *\"."},
    Wording{"the referenced anchor is not defined", "no anchor of this name is above",
            "A text that begins with '*' needs quotes."},
    Wording{"illegal EOF in scalar", "the text in quotes never ends",
            "Close it with the quote that it begins with."},
    Wording{
        "unknown escape character", "an escape that YAML does not know",
        "In double quotes a backslash is written \\\\; in single quotes it is a character like any other."},
    Wording{"anchor not found after &", "a text cannot begin with '&'", "Put it in quotes."},
};

std::size_t line_begin(std::string_view source, std::size_t offset) noexcept {
  if (offset == 0) return 0;
  const std::size_t before = source.rfind('\n', offset - 1);
  return before == std::string_view::npos ? 0 : before + 1;
}

std::size_t skip_space(std::string_view source, std::size_t at) noexcept {
  while (at < source.size() && std::string_view(" \t\r\n").find(source[at]) != std::string_view::npos) ++at;
  return at;
}

}  // namespace

std::optional<Fault> check_text(std::string_view source, const Limits& limits) {
  if (source.size() > limits.bytes) {
    return Fault{{1, 1},
                 fmt::format("the file has {}, more than the {} that are read", human_bytes(source.size()),
                             human_bytes(limits.bytes)),
                 "Divide it into several pipelines."};
  }
  if (const auto bad = find_invalid_utf8(source)) {
    return Fault{place_of(source, *bad),
                 fmt::format("the byte 0x{:02X} is no UTF-8", static_cast<unsigned char>(source[*bad])),
                 "Save the file as UTF-8."};
  }
  for (std::size_t at = 0; at < source.size();) {
    const std::string_view rest = source.substr(at);
    const std::size_t length = utf8_length(rest);
    const bool line_break = rest.starts_with("\r\n") || rest.starts_with('\n');
    if (!line_break && !rest.starts_with('\t') && is_control(rest)) {
      return Fault{place_of(source, at),
                   fmt::format("the control character {} cannot be in a definition",
                               printable(rest.substr(0, length))),
                   "Take it out; within double quotes it can be written as an escape."};
    }
    at += length;
  }
  return {};
}

Fault explain(std::string_view source, std::size_t offset, const std::string& message) {
  offset = std::min(offset, source.size());
  const std::size_t begin = line_begin(source, offset);
  const std::string_view line = source.substr(begin, source.find('\n', begin) - begin);
  const std::size_t indentation = std::min(line.find_first_not_of(" \t"), line.size());
  const std::size_t tab = line.substr(0, indentation).find('\t');
  if (tab != std::string_view::npos) {
    return {place_of(source, begin + tab), "a tab in the indentation", "YAML is indented with spaces alone."};
  }
  const Place place = place_of(source, offset);
  if (message == "unknown token" && offset < source.size()) {
    const std::string_view rest = source.substr(offset);
    return {place, fmt::format("a text cannot begin with '{}'", rest.substr(0, utf8_length(rest))),
            "Put it in quotes."};
  }
  for (const Wording& known : kWordings) {
    if (message.find(known.theirs) != std::string::npos) {
      return {place, std::string(known.ours), std::string(known.remedy)};
    }
  }
  return {place, "this is no YAML: " + message};
}

bool is_unclosed_quote(std::string_view source, std::size_t offset) noexcept {
  // An anchor or a tag may stand in front of it.
  while (offset < source.size() && (source[offset] == '&' || source[offset] == '!')) {
    offset = skip_space(source, std::min(source.find_first_of(" \t\r\n", offset), source.size()));
  }
  if (offset >= source.size() || (source[offset] != '\'' && source[offset] != '"')) return false;
  const char quote = source[offset];
  for (std::size_t at = offset + 1; at < source.size(); ++at) {
    if (quote == '"' && source[at] == '\\') {
      ++at;
    } else if (source[at] == quote) {
      if (quote == '"' || source.substr(at + 1, 1) != "'") return false;
      ++at;
    }
  }
  return true;
}

}  // namespace weir::pipeline::yaml
