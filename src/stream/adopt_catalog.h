#pragma once

#include <string>

#include "pg/session.h"
#include "stream/adopt_facts.h"

namespace weir::stream {

/// What the catalogue says of a table that is to become a stream, and of what an earlier adoption did to it.
/// Throws Error when there is no such relation.
AdoptFacts read_adopt_facts(pg::Session& session, const std::string& table);

/// Its relations once more, with their indexes (xid, id).
void read_adopt_indexes(pg::Session& session, AdoptFacts& table, const std::string& id_column);

}  // namespace weir::stream
