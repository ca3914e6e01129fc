#pragma once

#include <vector>

#include "pg/conninfo.h"

namespace weir::pg {

/// The connection strings of one host each that a list of hosts stands for, in the order to try them. libpq
/// would try them inside one attempt, where a silent host uses up the whole time and every name but the first
/// is looked up on the caller's thread. A list that does not fit together comes back whole: libpq says what
/// is wrong with it.
std::vector<Conninfo> single_hosts(const Conninfo& conninfo);

}  // namespace weir::pg
