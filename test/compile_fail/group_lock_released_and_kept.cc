// expect: passing
#include "pg/group_lock.h"

namespace weir::pg {

void release(GroupLock& lock) {
#ifdef WEIR_CONTROL
  (void)std::move(lock).release();
#else
  (void)lock.release();  // the caller would still hold a GroupLock that is no lock
#endif
}

}  // namespace weir::pg
