// expect: cannot convert
#include "pg/params.h"

namespace weir::pg {

void add(Params& params, const std::string& text) {
#ifdef WEIR_CONTROL
  params.add<std::string_view>(text);
#else
  params.add<std::int64_t>(text);
#endif
}

}  // namespace weir::pg
