#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pg/session.h"

namespace weir::schema {

enum class RoleOutcome {
  created,
  present,
  foreign,  ///< a role of this name is more than a group: neither changed nor granted anything
  denied,   ///< missing, and this user may not create roles
};

struct RoleResult {
  std::string role{};
  RoleOutcome outcome = RoleOutcome::present;
};

/// Makes the group roles that are missing, as far as this user may; weir.apply_grants() gives them their
/// rights.
std::vector<RoleResult> make_roles(pg::Session& session);

/// What an administrator has to know or do, with the SQL for it; empty when all roles are in order.
std::vector<std::string> role_notices(const std::vector<RoleResult>& results, std::string_view user);

}  // namespace weir::schema
