#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pg/session.h"

namespace weir::schema {

/// A session that somebody waits for.
struct LockHolder {
  std::int32_t pid = 0;
  std::string description{};  ///< "pid 17 (psql, user eve), idle in transaction for 4.2 s: LOCK TABLE .."
};

/// Who holds the migrators' advisory lock `key`.
std::vector<LockHolder> find_migrators(pg::Session& session, std::int64_t key);

/// Who holds locks in schema weir, the oldest transactions first. After a lock timeout these are the
/// suspects: the server does not tell whom the statement waited for.
std::vector<LockHolder> find_schema_lock_holders(pg::Session& session);

}  // namespace weir::schema
