// expect: has no member named 'end'
#include "group/group_connection.h"

namespace weir::group {

bool write(GroupConnection connection, OwnedGroup owned, const Ending& ending) {
#ifdef WEIR_CONTROL
  (void)connection;
  return owned.end(ending);
#else
  (void)owned;
  return connection.end(ending);  // it has not taken the group
#endif
}

}  // namespace weir::group
