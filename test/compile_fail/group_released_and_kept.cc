// expect: passing
#include "group/group_connection.h"

namespace weir::group {

void release(OwnedGroup& group) {
#ifdef WEIR_CONTROL
  (void)std::move(group).release();
#else
  (void)group.release();  // the caller would still hold what is not his
#endif
}

}  // namespace weir::group
