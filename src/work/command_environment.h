#pragma once

#include "exec/command.h"

namespace weir::work {

/// Through its environment the state database's address and password would reach every program that we run:
/// takes them out, as far as the command does not set them itself.
void hide_database(exec::Command& command);

}  // namespace weir::work
