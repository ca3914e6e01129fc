// expect: is private within this context
#include "pg/pool.h"

namespace weir::pg {

Lease from_nowhere(Pool& pool, Session session) {
#ifdef WEIR_CONTROL
  (void)session;
  return pool.lease();
#else
  (void)pool;
  return Lease(nullptr, std::move(session), SessionAge{});  // no pool to return to
#endif
}

}  // namespace weir::pg
