#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/doctor/work_facts.h"
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
  std::optional<WorkFacts> work{};      ///< nothing where the schema is not ours to read
};

/// What one process of this release opens at the most, role by role: some for itself, and for each slot one
/// and two more while it loads or makes a model.
pg::Budget default_budget(int processes, int slots);

/// Asks the server. Throws where it cannot be reached or used at all. Without `processes` connections are
/// counted for those that live.
DoctorFacts gather_facts(const pg::Connector& connector, std::optional<int> processes, int slots,
                         const std::stop_token& stop);

}  // namespace weir::cli
