#include "load/value/names.h"

#include <array>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "base/ascii.h"
#include "base/text.h"

namespace weir::load {
namespace {

constexpr std::size_t kLongestName = 63;  // NAMEDATALEN - 1
// Every table has these already.
constexpr std::array<std::string_view, 6> kSystemColumns{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};

void cut(std::string& name, std::size_t most) {
  if (name.size() <= most) return;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0U) == 0x80U) --end;
  name.resize(end);
}

/// Bytes that no name can have become '_'.
std::string clean(std::string_view written) {
  std::string name;
  while (!written.empty()) {
    const std::size_t length = utf8_length(written);
    const bool good = length > 0 && written.front() != '\0';
    name.append(good ? written.substr(0, length) : std::string_view("_"));
    written.remove_prefix(good ? length : 1);
  }
  return name;
}

std::string snake(std::string_view name) {
  std::string out;
  for (std::size_t at = 0; at < name.size(); ++at) {
    const char c = name[at];
    const char before = at > 0 ? name[at - 1] : '\0';
    const char after = at + 1 < name.size() ? name[at + 1] : '\0';
    // "orderId" has a word at I, "HTTPServer" at S.
    const bool begins_word =
        is_upper(c) && (is_lower(before) || is_digit(before) || (is_upper(before) && is_lower(after)));
    const bool kept = is_letter(c) || is_digit(c) || static_cast<unsigned char>(c) >= 0x80;
    if ((begins_word || !kept) && !out.empty() && out.back() != '_') out.push_back('_');
    if (kept) out.push_back(is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c);
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  if (!out.empty() && is_digit(out.front())) out.insert(out.begin(), 'c');
  return out;
}

}  // namespace

std::vector<std::string> column_names(std::span<const std::string> header, NameStyle style) {
  std::vector<std::string> names;
  names.reserve(header.size());
  for (const std::string& written : header) {
    std::string name = clean(written);
    if (style == NameStyle::snake) name = snake(name);
    if (trim(name).empty()) name = fmt::format("c{}", names.size() + 1);
    cut(name, kLongestName);
    names.push_back(std::move(name));
  }
  // A name that somebody wrote is not given away as the number of another.
  const std::unordered_set<std::string> written(names.begin(), names.end());
  std::unordered_set<std::string> used;
  for (const std::string_view name : kSystemColumns) used.emplace(name);
  std::unordered_map<std::string, std::size_t> next;
  for (std::string& name : names) {
    if (used.insert(name).second) continue;
    std::size_t& number = next.try_emplace(name, 2).first->second;
    for (;; ++number) {
      const std::string suffix = fmt::format("_{}", number);
      std::string candidate = name;
      cut(candidate, kLongestName - suffix.size());
      candidate += suffix;
      if (!written.contains(candidate) && used.insert(candidate).second) {
        name = std::move(candidate);
        break;
      }
    }
  }
  return names;
}

}  // namespace weir::load
