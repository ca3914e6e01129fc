// expect: is private within this context
#include "pg/group_lock.h"

namespace weir::pg {

void unlock_what_is_not_held(PinnedSession session) {
#ifdef WEIR_CONTROL
  auto lock = GroupLock::try_acquire(std::move(session), AdvisoryKey::of(1, "x"));
  if (lock) (void)std::move(*lock).release();
#else
  (void)GroupLock(std::move(session), AdvisoryKey::of(1, "x")).release();
#endif
}

}  // namespace weir::pg
