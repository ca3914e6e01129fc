#include "cli/commands.h"

namespace weir::cli {

Registry all_commands() {
  return {.groups = {{"db", "the database that Weir works on"}},
          .commands = {up_command(), db_start_command(), db_stop_command(), db_status_command(),
                       db_url_command(), db_psql_command(), db_migrate_command(), consume_command(), doctor_command(),
                       version_command(), help_words_command()}};
}

}  // namespace weir::cli
