// expect: use of deleted function
#include "pg/session.h"
#include "schema/queries/migrations.h"

namespace weir::pg {

std::string name(Session& session) {
#ifdef WEIR_CONTROL
  const auto rows = session.run<sql::AppliedMigrations>();
  return std::string(rows.one().name);
#else
  return std::string(session.run<sql::AppliedMigrations>().one().name);  // its text is gone already
#endif
}

}  // namespace weir::pg
