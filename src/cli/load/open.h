#pragma once

#include <memory>

#include "cli/command.h"
#include "pg/connector.h"

namespace weir::cli {

/// How to reach the database of a load: names mean what they mean in the user's psql. Throws when Weir's
/// schema is not there.
std::shared_ptr<const pg::Connector> load_connector(const Context& context);

/// A session of it, for a command that looks at loads.
pg::Session open_loads(const Context& context, std::string_view purpose);

}  // namespace weir::cli
