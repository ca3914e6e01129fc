// expect: use of deleted function
#include "group/group_connection.h"

namespace weir::group {

OwnedGroup second_owner(OwnedGroup& group) {
#ifdef WEIR_CONTROL
  return std::move(group);
#else
  return group;  // two tasks on one connection
#endif
}

}  // namespace weir::group
