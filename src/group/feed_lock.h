#pragma once

#include <functional>
#include <stop_token>
#include <string_view>

#include "pg/session.h"

namespace weir::group {

/// Does in a transaction what changes who has which batches before him: nobody submits to the feed or ends a
/// batch of it meanwhile. Who waits for that has everybody else wait behind him, so it is tried again and
/// again, each time shortly. Throws refused where somebody has the feed in an open transaction for a minute.
void with_feed_to_oneself(pg::Session& session, std::string_view feed, const std::function<void()>& work);

/// The same for who has transactions of his own: `attempt` is one, with a short lock_timeout, that throws
/// pg::LockTimeout.
void until_feed_is_free(std::string_view feed, const std::stop_token& stop,
                        const std::function<void()>& attempt);

}  // namespace weir::group
