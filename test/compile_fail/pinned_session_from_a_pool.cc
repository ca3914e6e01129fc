// expect: is private within this context
#include "pg/pinned_session.h"

namespace weir::pg {

PinnedSession pin(const Connector& connector, Session pooled) {
#ifdef WEIR_CONTROL
  (void)pooled;
  return PinnedSession::open(connector, Role::group, "x");
#else
  (void)connector;
  return PinnedSession(std::move(pooled), {});  // the pool would recycle it under the lock
#endif
}

}  // namespace weir::pg
