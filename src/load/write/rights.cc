#include "load/write/rights.h"

#include <array>
#include <utility>

#include <fmt/format.h>

#include "pg/identifier.h"

namespace weir::load {
namespace {

constexpr const char* kNoRight = "42501";
constexpr std::string_view kDenied = "permission denied for ";
constexpr std::string_view kOfSchema = "schema ";

struct Grantable {
  std::string_view said;   ///< in the server's words; what is longer comes first
  std::string_view kind;   ///< in SQL's
  std::string_view right;  ///< empty: by what it is for
};
constexpr std::array<Grantable, 9> kGrantable{{{"materialized view ", "", ""},
                                               {"foreign table ", "", ""},
                                               {"table ", "", ""},
                                               {"view ", "", ""},
                                               {"sequence ", "SEQUENCE ", "USAGE"},
                                               {"schema ", "SCHEMA ", ""},
                                               {"function ", "FUNCTION ", "EXECUTE"},
                                               {"type ", "TYPE ", "USAGE"},
                                               {"database ", "DATABASE ", "CREATE, TEMPORARY"}}};

}  // namespace

MissingRight::MissingRight(const std::string& message, std::string remedy)
    : Error(ExitCode::database, message, std::move(remedy), Failure::refused, kNoRight) {}

bool is_of_rights(const pg::Error& error) {
  return error.kind() == pg::ErrorKind::server && error.sqlstate() == kNoRight &&
         error.info().message.find("row-level security") == std::string::npos;
}

bool names_table(const pg::ErrorInfo& refused, std::string_view table) {
  return refused.message == fmt::format("{}table {}", kDenied, table);
}

std::string grant_for(const pg::ErrorInfo& refused, std::string_view role, Purpose purpose) {
  const std::string whom = role.empty() ? "<user>" : pg::quote_identifier(role);
  std::string_view what = refused.message;
  if (!what.starts_with(kDenied))
    return fmt::format("Let the owner of what it names GRANT it to {}, or load as its owner.", whom);
  what.remove_prefix(kDenied.size());
  const bool of_schema = what.starts_with(kOfSchema);
  // Its named queries of loads are on Weir's tables; schemas of others are met there, too.
  const bool ours =
      of_schema ? what == "schema weir" || what == "schema weir_stage" : refused.query.starts_with("load_");
  if (ours) return fmt::format("GRANT weir_worker TO {};", whom);
  for (const Grantable& known : kGrantable) {
    if (!what.starts_with(known.said)) continue;
    const std::string name = pg::quote_identifier(what.substr(known.said.size()));
    const bool reads = purpose == Purpose::reading;
    const std::string_view right = !known.right.empty() ? known.right : of_schema ? "USAGE" : "SELECT";
    if (of_schema && !reads) {
      return fmt::format(
          "GRANT USAGE ON {}{} TO {}; a load that makes its table there, or swaps it, needs CREATE as well.",
          known.kind, name, whom);
    }
    if (reads || !known.right.empty())
      return fmt::format("GRANT {} ON {}{} TO {};", right, known.kind, name, whom);
    return fmt::format(
        "GRANT what it needs, such as {}, ON {} TO {}; of which schema it is the server does "
        "not say.",
        right, name, whom);
  }
  return fmt::format("GRANT it to {}: {}.", whom, what);
}

}  // namespace weir::load
