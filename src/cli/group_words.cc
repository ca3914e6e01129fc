#include "cli/group_words.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"

namespace weir::cli {

std::string feed_option(const Context& context) {
  return context.arguments.value("feed").value_or("default");
}

std::optional<std::string> feed_if_named(const Context& context) {
  if (context.arguments.has("feed") || context.arguments.has("sink")) return feed_option(context);
  return std::nullopt;
}

const std::string& only_word(const Context& context, std::string_view what, std::string_view usage) {
  const auto& words = context.arguments.words;
  if (words.size() == 1 && !words.front().empty()) return words.front();
  throw Error(ExitCode::usage, words.size() > 1 ? "one at a time" : std::string(what),
              fmt::format("Write: {}", usage));
}

void need_yes(const Context& context, const std::string& what_is_lost, const std::string& remedy) {
  if (!context.arguments.has("yes")) throw Error(ExitCode::refused, what_is_lost, remedy);
}

std::string batches_text(std::int64_t count) {
  return fmt::format("{} {}", human_count(count), count == 1 ? "batch" : "batches");
}

}  // namespace weir::cli
