#include "cli/stream_words.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/open_database.h"
#include "pg/error.h"
#include "schema/queries/admin.h"
#include "stream/stream.h"

namespace weir::cli {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr Unit kUnits[] = {{"", 1},
                           {"B", 1},
                           {"kB", 1e3},
                           {"KB", 1e3},
                           {"MB", 1e6},
                           {"GB", 1e9},
                           {"TB", 1e12},
                           {"KiB", 1024.0},
                           {"MiB", 1048576.0},
                           {"GiB", 1073741824.0},
                           {"TiB", 1099511627776.0}};
constexpr double kMostBytes = 9e18;

std::optional<std::int64_t> parse_bytes(const std::string& text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || !std::isfinite(number)) return std::nullopt;
  const std::string_view unit =
      trim(std::string_view(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr)));
  for (const Unit& known : kUnits) {
    const double bytes = number * known.bytes;
    if (unit == known.name && bytes >= 1 && bytes <= kMostBytes) return std::llround(bytes);
  }
  return std::nullopt;
}

}  // namespace

const std::string& stream_name(const Context& context, std::string_view usage) {
  const auto& words = context.arguments.words;
  if (words.size() == 1) return words.front();
  throw Error(ExitCode::usage, words.empty() ? "which stream?" : "one stream at a time",
              fmt::format("Write: {}", usage));
}

std::string group_name(const Context& context, std::string_view usage) {
  const auto name = context.arguments.value("group");
  if (name && !name->empty() && name->size() <= 200) return *name;
  throw Error(ExitCode::usage,
              !name           ? "which group?"
              : name->empty() ? "the name of the group is empty"
                              : "the name of the group is longer than 200 bytes",
              fmt::format("Write: {}", usage));
}

OpenStream open_stream(const Context& context, std::string_view purpose, std::string_view usage) {
  const std::string& name = stream_name(context, usage);
  pg::Session session = open_database(context, purpose);
  stream::StreamDefinition stream = stream::find_stream(session, name);
  return {std::move(session), std::move(stream)};
}

WallTime stream_time(pg::Session& session, std::string_view option, const std::string& text) {
  if (text == "beginning") return WallTime::min();
  if (text == "end") return WallTime::max();
  if (const auto ago = parse_duration(text)) {
    const auto now = session.run<sql::ServerNow>();
    return now.one().at - std::chrono::duration_cast<std::chrono::microseconds>(*ago);
  }
  try {
    const auto answer = session.run<sql::ReadTime>(text);
    if (const auto time = answer.one().at) return *time;
  } catch (const pg::Error& error) {
    if (error.kind() != pg::ErrorKind::server) throw;
  }
  throw Error(ExitCode::usage, fmt::format("--{} is '{}', which is no time", option, printable(text)),
              "Write it with its zone, such as '2026-12-24 08:00+01', or how long ago: 2h, 7d.");
}

std::optional<std::int64_t> bytes_option(const Arguments& given, std::string_view option) {
  const auto text = given.value(option);
  if (!text) return std::nullopt;
  if (const auto bytes = parse_bytes(*text)) return bytes;
  throw Error(ExitCode::usage, fmt::format("--{} is '{}', which is no size", option, printable(*text)),
              "Write a number and a unit, such as 100GB, 1.5TB or 512MiB.");
}

std::string events_text(std::int64_t count) {
  return fmt::format("{} {}", human_count(count), count == 1 ? "event" : "events");
}

}  // namespace weir::cli
