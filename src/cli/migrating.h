#pragma once

#include "cli/command.h"
#include "pg/connector.h"
#include "schema/migrator.h"

namespace weir::cli {

/// Brings the database's schema up to this program, on a session of its own, and shows each step.
schema::MigrationReport migrate_database(Context& context, const pg::Connector& connector);

/// "001_foundation".
std::string migration_label(int number, std::string_view name);

}  // namespace weir::cli
