#pragma once

#include <string>

#include "queue/adopt_definition.h"

namespace weir::pg {
class Session;
}

namespace weir::queue {

/// Reads the catalogue about a table, named as in SQL. Throws the definition error, with what was probably
/// meant, when there is none.
AdoptFacts read_adopt_facts(pg::Session& session, const std::string& table);

/// Lets the server look at every statement that will be run on the table, and runs none of them: a --where or
/// --set that is wrong is a definition error that names it, before any row is claimed.
void check_adopted_sql(pg::Session& session, const Adopted& adopted);

}  // namespace weir::queue
