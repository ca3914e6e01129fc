// expect: without narrowing
#include "pg/session.h"

namespace weir::pg {

struct Due {
  using Arguments = std::tuple<std::int32_t>;
  struct Row {};
  static Row decode(const pg::Row& /*row*/) { return {}; }
  static constexpr Query kQuery{"Due", "SELECT $1::int4", {}, {}};
};

#ifdef WEIR_CONTROL
void run(Session& session, std::int16_t limit) { session.run<Due>(limit); }
#else
void run(Session& session, std::int64_t limit) { session.run<Due>(limit); }
#endif

}  // namespace weir::pg
