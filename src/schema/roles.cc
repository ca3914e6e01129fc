#include "schema/roles.h"

#include <fmt/format.h>

#include "schema/queries/roles.h"

namespace weir::schema {
namespace {

RoleOutcome parse_outcome(std::string_view text) {
  if (text == "created") return RoleOutcome::created;
  if (text == "present") return RoleOutcome::present;
  if (text == "foreign") return RoleOutcome::foreign;
  if (text == "denied") return RoleOutcome::denied;
  pg::raise(
      {.kind = pg::ErrorKind::decode,
       .message = "weir.create_roles() answered '" + std::string(text) + "', which this binary does not know",
       .query = std::string(sql::CreateRoles::kQuery.name)});
}

}  // namespace

std::vector<RoleResult> make_roles(pg::Session& session) {
  std::vector<RoleResult> results;
  const auto rows = session.run<sql::CreateRoles>();
  for (const auto row : rows) results.push_back({std::string(row.role), parse_outcome(row.outcome)});
  return results;
}

std::vector<std::string> role_notices(const std::vector<RoleResult>& results, std::string_view user) {
  std::vector<std::string> notices;
  std::string statements;
  for (const RoleResult& result : results) {
    if (result.outcome == RoleOutcome::denied) {
      statements += fmt::format(" CREATE ROLE {} NOLOGIN;", result.role);
    } else if (result.outcome == RoleOutcome::foreign) {
      notices.push_back(
          fmt::format("Role {0} exists and is more than a group (it can log in, or has an attribute of an "
                      "administrator), so Weir "
                      "left it alone and granted it nothing. If it is meant for Weir, as an administrator: "
                      "ALTER ROLE {0} "
                      "NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS; and run `weir "
                      "db migrate` again.",
                      result.role));
    }
  }
  if (!statements.empty()) {
    notices.push_back(
        fmt::format("User {} may not create roles, so there are no least-privilege roles to hand out yet. As "
                    "an administrator:{} "
                    "Then run `weir db migrate` again, which gives them their rights.",
                    user, statements));
  }
  return notices;
}

}  // namespace weir::schema
