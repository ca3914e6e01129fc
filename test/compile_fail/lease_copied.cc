// expect: use of deleted function
#include "pg/lease.h"

namespace weir::pg {

Lease second_borrower(Lease& lease) {
#ifdef WEIR_CONTROL
  return std::move(lease);
#else
  return lease;  // would be returned twice
#endif
}

}  // namespace weir::pg
