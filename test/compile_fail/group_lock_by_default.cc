// expect: no matching function for call
#include "pg/group_lock.h"

namespace weir::pg {

void unlock_nothing(PinnedSession session) {
#ifdef WEIR_CONTROL
  auto lock = GroupLock::try_acquire(std::move(session), AdvisoryKey{});
#else
  (void)session;
  GroupLock lock;
#endif
  (void)lock;
}

}  // namespace weir::pg
