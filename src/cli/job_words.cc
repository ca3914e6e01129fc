#include "cli/job_words.h"

#include <charconv>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"

namespace weir::cli {
namespace {

template <class T>
nlohmann::ordered_json value_or_null(const std::optional<T>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

}  // namespace

nlohmann::ordered_json or_null(const std::optional<std::int32_t>& value) { return value_or_null(value); }
nlohmann::ordered_json or_null(const std::optional<std::int64_t>& value) { return value_or_null(value); }
nlohmann::ordered_json or_null(const std::optional<double>& value) { return value_or_null(value); }
nlohmann::ordered_json or_null(const std::optional<std::string>& value) { return value_or_null(value); }

std::vector<std::int64_t> job_ids(const std::vector<std::string>& words) {
  std::vector<std::int64_t> ids;
  for (const std::string& word : words) {
    std::int64_t id = 0;
    const char* const end = word.data() + word.size();
    const auto parsed = std::from_chars(word.data(), end, id);
    if (parsed.ec != std::errc() || parsed.ptr != end || id < 1) {
      throw Error(ExitCode::usage, fmt::format("'{}' is not the id of a job", printable(word)),
                  "An id is a number, as weir job enqueue and weir job list show it.");
    }
    ids.push_back(id);
  }
  return ids;
}

void check_choice(const Arguments& given, std::string_view question, std::string_view usage) {
  const int ways = (given.words.empty() ? 0 : 1) + (given.has("queue") ? 1 : 0) + (given.has("all") ? 1 : 0);
  if (ways == 1) return;
  throw Error(ExitCode::usage,
              ways == 0 ? std::string(question) : "ids, --queue and --all exclude one another",
              fmt::format("Write: {}", usage));
}

const std::vector<std::string>& queue_names(const Context& context, std::string_view usage) {
  if (context.arguments.words.empty())
    throw Error(ExitCode::usage, "no queue was named", fmt::format("Write: {}", usage));
  return context.arguments.words;
}

std::string time_text(WallTime time) {
  if (time == WallTime::max() || time == WallTime::min()) return "never";
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", std::chrono::floor<std::chrono::seconds>(time));
}

nlohmann::ordered_json time_json(const std::optional<WallTime>& time) {
  if (!time || *time == WallTime::max() || *time == WallTime::min()) return nullptr;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(*time);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", seconds, (*time - seconds).count());
}

std::string first_line(std::string_view text) {
  constexpr std::size_t kWidth = 60;
  return elide(trim(text.substr(0, text.find('\n'))), kWidth);
}

std::string jobs_text(std::int64_t count) {
  return fmt::format("{} {}", human_count(count), count == 1 ? "job" : "jobs");
}

}  // namespace weir::cli
