// expect: use of deleted function
#include "pg/transaction.h"

namespace weir::pg {

void end_of_scope(Session& session) {
  Transaction transaction(session);
#ifdef WEIR_CONTROL
  transaction.commit();
#else
  Transaction elsewhere = std::move(transaction);
#endif
}

}  // namespace weir::pg
