#pragma once

#include "cli/command.h"
#include "cli/database.h"

namespace weir::cli {

/// A session on the running database for a command that needs Weir's schema there. Throws what db commands
/// say when the server is not there, or the schema is not this program's.
pg::Session open_database(const Context& context, std::string_view purpose);

/// The same, but names without a schema mean in it what they mean in the user's psql.
pg::Session open_users_database(const Context& context, std::string_view purpose);

}  // namespace weir::cli
