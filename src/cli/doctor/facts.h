#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pg/budget.h"
#include "pg/pooler.h"
#include "schema/rights.h"
#include "schema/schema_check.h"
#include "schema/server_info.h"

namespace weir::cli {

struct RoleFact {
  std::string name;
  bool present = false;
  bool is_group = false;
  bool is_member = false;
};

/// Something that keeps dead rows from being removed.
struct SnapshotFact {
  std::string kind;  ///< "session", "prepared", "slot"
  std::string holder;
  std::optional<Duration> age;
  std::int64_t transactions = 0;  ///< that began since
};

/// All that doctor's judgements rest on.
struct DoctorFacts {
  pg::Pooling pooling = pg::Pooling::none;
  bool own_search_path = true;  ///< false: a pooler refused it, so names are looked up where the user says
  schema::ServerInfo server;
  pg::Budget budget;
  schema::SchemaCheck schema;
  schema::MigrationRights rights;
  std::vector<RoleFact> roles;
  std::string encoding;
  std::vector<SnapshotFact> snapshots;  ///< the oldest first
};

/// What one process of this release opens at the most, role by role.
pg::Budget default_budget(int processes);

/// Asks the server. Throws where it cannot be reached or used at all.
DoctorFacts gather_facts(const pg::Connector& connector, const pg::Budget& budget,
                         const std::stop_token& stop);

}  // namespace weir::cli
