#include "pg/group_lock.h"

namespace weir::pg {

tl::expected<GroupLock, PinnedSession> GroupLock::try_acquire(PinnedSession session, AdvisoryKey key) {
  return try_acquire_by(std::move(session), key, [&](Session& on) {
    return on.execute("SELECT pg_try_advisory_lock($1, $2)", key.space, key.key)[0].get<bool>(0);
  });
}

PinnedSession GroupLock::release() && {
  return std::move(*this).release_by([&](Session& on) {
    return on.execute("SELECT pg_advisory_unlock($1, $2)", key_.space, key_.key)[0].get<bool>(0);
  });
}

PinnedSession GroupLock::end(bool was_held) && {
  if (!was_held) {
    session_.close();
    raise({.kind = ErrorKind::misuse,
           .message = "the server did not hold the advisory lock that this session had taken",
           .hint =
               "A pooler in transaction mode stands in between. Connect to the server itself, or use lease "
               "ownership."});
  }
  return std::move(session_);
}

}  // namespace weir::pg
