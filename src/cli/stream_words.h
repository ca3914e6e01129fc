#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cli/command.h"
#include "pg/session.h"
#include "stream/stream_definition.h"

// What the commands about streams share: words in.

namespace weir::cli {

/// A span in an option: longer is for ever.
constexpr Duration kLongestKept = std::chrono::hours(24 * 36500);

/// The only word, which names a stream. Throws the usage error that shows `usage`.
const std::string& stream_name(const Context& context, std::string_view usage);
/// The value of --group. Throws the usage error that shows `usage`.
std::string group_name(const Context& context, std::string_view usage);

/// A stream and a session on its database.
struct OpenStream {
  pg::Session session;
  stream::StreamDefinition stream;
};
OpenStream open_stream(const Context& context, std::string_view purpose, std::string_view usage);

/// The value of an option that is a time: 'beginning' (WallTime::min()), 'end' (max()), '2h' (that long ago),
/// or what the server reads as a time. Throws usage.
WallTime stream_time(pg::Session& session, std::string_view option, const std::string& text);

/// "100GB", "1.5GB", "512MiB", "4096": decimal and binary units. Throws usage, as Arguments::number() does.
std::optional<std::int64_t> bytes_option(const Arguments& given, std::string_view option);

/// "1 event", "2 events"
std::string events_text(std::int64_t count);

}  // namespace weir::cli
