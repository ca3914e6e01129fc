#include "schema/schema_check.h"

#include <utility>

#include <fmt/format.h>

namespace weir::schema {

std::string_view to_string(SchemaState state) noexcept {
  switch (state) {
    case SchemaState::ok: return "ok";
    case SchemaState::missing: return "missing";
    case SchemaState::behind: return "behind";
    case SchemaState::refused: return "refused";
  }
  return "unknown";
}

std::optional<Error> SchemaCheck::error() const {
  constexpr const char* kRemedy = "Run `weir db migrate` (with --plan it only shows what it would do).";
  switch (state) {
    case SchemaState::ok: return std::nullopt;
    case SchemaState::missing:
      return Error(ExitCode::database, "this database has no schema weir yet", kRemedy);
    case SchemaState::behind:
      return Error(ExitCode::database,
                   fmt::format("the schema is older than this binary ({} < {})", plan.applied, plan.known),
                   kRemedy);
    case SchemaState::refused: return plan.refusal();
  }
  return std::nullopt;
}

SchemaCheck check_schema(pg::Session& session, std::span<const Migration> known) {
  SchemaCheck check{.plan = plan(session, known)};
  if (check.plan.refusal()) {
    check.state = SchemaState::refused;
  } else if (!check.plan.up_to_date()) {
    check.state = check.plan.applied == 0 ? SchemaState::missing : SchemaState::behind;
  }
  return check;
}

void require_schema(pg::Session& session, std::span<const Migration> known) {
  if (const std::optional<Error> error = check_schema(session, known).error()) throw Error(*error);
}

}  // namespace weir::schema
