// expect: one argument for each parameter
#include "pg/session.h"
#include "schema/queries/migrations.h"

namespace weir::pg {

void record(Session& session) {
#ifdef WEIR_CONTROL
  (void)session.run<sql::AppliedMigrations>();
#else
  (void)session.run<sql::AppliedMigrations>(1);
#endif
}

}  // namespace weir::pg
