// expect: passing
#include "pg/lease.h"

namespace weir::pg {

void vouch(Lease& lease) {
#ifdef WEIR_CONTROL
  std::move(lease).return_clean();
#else
  lease.return_clean();  // and then use it again
#endif
}

}  // namespace weir::pg
