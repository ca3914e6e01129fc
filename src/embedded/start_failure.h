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

/// Whether another try may succeed: processes of the server before it still run, which end by themselves once
/// they look up from their work; or its lock file is broken, which is cleared away once it is not fresh any
/// more.
bool may_pass(std::string_view news);

/// What happened, in the log's own words, and what to do.
Error start_error(const Site& site, std::string_view news);

}  // namespace weir::embedded
