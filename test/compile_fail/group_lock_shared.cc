// expect: use of deleted function
#include "pg/group_lock.h"

namespace weir::pg {

GroupLock second_holder(GroupLock& lock) {
#ifdef WEIR_CONTROL
  return std::move(lock);
#else
  return lock;
#endif
}

}  // namespace weir::pg
