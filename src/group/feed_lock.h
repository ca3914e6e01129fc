#pragma once

#include <functional>
#include <string_view>

#include "pg/session.h"

namespace weir::group {

/// Does in a transaction what changes who has which batches before him: nobody submits to the feed or ends a
/// batch of it meanwhile. Who waits for that has everybody else wait behind him, so it is tried again and
/// again, each time shortly. Throws refused where somebody has the feed in an open transaction for a minute.
void with_feed_to_oneself(pg::Session& session, std::string_view feed, const std::function<void()>& work);

}  // namespace weir::group
