// expect: without narrowing
#include "pg/session.h"

namespace weir::pg {

struct Due {
  using Arguments = std::tuple<std::optional<bool>>;
  struct Row {};
  static Row decode(const pg::Row& /*row*/) { return {}; }
  static constexpr Query kQuery{"Due", "SELECT $1::bool", {}, {}};
};

#ifdef WEIR_CONTROL
void run(Session& session) {
  session.run<Due>(true);
  session.run<Due>(std::optional(true));
  session.run<Due>(std::nullopt);
}
#else
// A pointer is a bool to C++, and always a true one.
void run(Session& session) { session.run<Due>("false"); }
#endif

}  // namespace weir::pg
