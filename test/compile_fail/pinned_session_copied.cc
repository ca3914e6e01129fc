// expect: use of deleted function
#include "pg/pinned_session.h"

namespace weir::pg {

PinnedSession second_owner(PinnedSession& session) {
#ifdef WEIR_CONTROL
  return std::move(session);
#else
  return session;
#endif
}

}  // namespace weir::pg
