#pragma once

#include "cli/command.h"
#include "embedded/private_server.h"

namespace weir::cli {

/// The longest that making and starting a private server may take; a slow disk needs a while for initdb, and
/// a server that crashed for its recovery.
constexpr Duration kStartSpan = std::chrono::minutes(5);
constexpr Duration kStopSpan = std::chrono::minutes(1);

/// Shows what starting this server will be about.
void announce_start(Context& context, const embedded::ServerStatus& before);

/// What a person has to know about where the server is; shown once it runs.
void show_notices(Context& context, const embedded::ServerStatus& status);

}  // namespace weir::cli
