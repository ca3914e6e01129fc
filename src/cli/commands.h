#pragma once

#include "cli/command.h"

namespace weir::cli {

/// Every command of the program, in the order in which help shows them.
Registry all_commands();

// One file each, src/cli/commands/<name>.cc.
Command up_command();
Command db_start_command();
Command db_stop_command();
Command db_status_command();
Command db_url_command();
Command db_psql_command();
Command db_migrate_command();
Command consume_command();
Command doctor_command();
Command version_command();
Command help_words_command();

}  // namespace weir::cli
