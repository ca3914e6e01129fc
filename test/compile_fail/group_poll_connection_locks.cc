// expect: cannot convert
#include "group/group_connection.h"
#include "group/poll_connection.h"

namespace weir::group {

void take(GroupConnection own, PollConnection poll, const SinkDefinition& sink, const GroupKey& group) {
#ifdef WEIR_CONTROL
  (void)poll;
  (void)GroupConnection::try_lock(std::move(own), sink, group, Ownership::advisory, "me");
#else
  (void)own;
  (void)GroupConnection::try_lock(std::move(poll), sink, group, Ownership::advisory, "me");
#endif
}

}  // namespace weir::group
