#include "pipeline/define/reading.h"

#include <fmt/format.h>

#include "base/text.h"
#include "pipeline/define/yaml/parse.h"

namespace weir::pipeline {

Position Reading::within(const yaml::Node& node, std::string_view part, std::size_t nth) const {
  // Who makes very many mistakes is not told the exact place of each.
  if (diagnostics_.errors() > Diagnostics::kKept) return at(node);
  return at(yaml::place_within(source_, node, part, nth));
}

std::string Reading::suggest(std::string_view word, std::span<const std::string_view> known,
                             std::string otherwise) {
  std::string near = diagnostics_.suggest(word, known);
  return near.empty() ? std::move(otherwise) : near;
}

std::string Reading::folder() const {
  const std::size_t slash = file_.rfind('/');
  return slash == std::string::npos ? std::string() : file_.substr(0, slash);
}

std::string in_quotes(std::string_view text) { return fmt::format("'{}'", printable(elide(text, 60))); }

}  // namespace weir::pipeline
