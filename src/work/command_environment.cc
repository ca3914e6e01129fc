#include "work/command_environment.h"

#include <array>

namespace weir::work {
namespace {

constexpr std::array kDatabaseVariables{"DATABASE_URL", "PGPASSWORD", "PGPASSFILE", "PGSERVICE",
                                        "PGSERVICEFILE"};

}  // namespace

void hide_database(exec::Command& command) {
  for (const char* const name : kDatabaseVariables) command.env.emplace(name, std::nullopt);
}

}  // namespace weir::work
