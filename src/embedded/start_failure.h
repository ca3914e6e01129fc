#pragma once

#include <stop_token>
#include <string>

#include "base/deadline.h"
#include "base/error.h"
#include "embedded/server_log.h"
#include "embedded/site.h"

namespace weir::embedded {

/// All that a server wrote before it ended. The process that writes its log outlives it for a moment, so this
/// waits, at most a second, for the reason to appear.
std::string final_news(const LogMark& mark, Deadline deadline, const std::stop_token& stop);

/// Processes of the server before it still run; they end by themselves once they look up from their work.
bool is_held_by_old_processes(std::string_view news);

/// What happened, in the log's own words, and what to do.
Error start_error(const Site& site, std::string_view news);

}  // namespace weir::embedded
