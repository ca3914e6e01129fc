#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "pg/role.h"

namespace weir::pg {

/// How many sessions the server grants. -1 = no limit of that kind.
struct ConnectionLimits {
  int max_connections = 0;
  int reserved = 0;         ///< superuser_reserved_connections + reserved_connections
  int role_limit = -1;      ///< ALTER ROLE .. CONNECTION LIMIT
  int database_limit = -1;  ///< ALTER DATABASE .. CONNECTION LIMIT
};

struct BudgetLine {
  Role role;
  int sessions = 0;  ///< that one process opens at the most
};

/// What Weir may open: every process opens every line. Pure.
struct Budget {
  std::vector<BudgetLine> lines;
  int processes = 1;

  [[nodiscard]] int per_process() const noexcept;
  [[nodiscard]] std::int64_t total() const noexcept { return std::int64_t{per_process()} * processes; }
  /// "poll 1 + recovery 1 + group 16 = 18 sessions x 3 processes = 54".
  [[nodiscard]] std::string arithmetic() const;
};

/// What the server leaves for Weir, under the tightest of its limits.
int available_sessions(const ConnectionLimits& limits) noexcept;

/// The refusal, arithmetic included, when the budget does not fit; nothing when it does.
std::optional<weir::Error> check_budget(const Budget& budget, const ConnectionLimits& limits);

}  // namespace weir::pg
