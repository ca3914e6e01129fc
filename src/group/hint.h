#pragma once

#include "base/log.h"
#include "pg/error.h"
#include "pg/session.h"

namespace weir::group {

/// Runs a statement that only tells others to look. What it is about is done, and stays done where this
/// fails: they look later then. The session may be gone after it.
template <class Statement, class... Args>
void hint(pg::Session& session, const Args&... args) {
  try {
    session.run<Statement>(args...);
  } catch (const pg::Error& error) {
    log::debug("idle consumers were not told, and look later", {{"error", error.what()}});
  }
}

}  // namespace weir::group
