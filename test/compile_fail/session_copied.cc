// expect: use of deleted function
#include "pg/session.h"

namespace weir::pg {

Session second_user(Session& session) {
#ifdef WEIR_CONTROL
  return std::move(session);
#else
  return session;  // two owners of one connection
#endif
}

}  // namespace weir::pg
