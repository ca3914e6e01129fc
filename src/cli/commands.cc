#include "cli/commands.h"

namespace weir::cli {

Registry all_commands() {
  return {
      .groups = {{"db", "the database that Weir works on"},
                 {"job", "jobs in queues"},
                 {"queue", "queues and their settings"},
                 {"demo", "what Weir does, shown with real figures"}},
      .commands = {
          init_command(),         check_command(),        plan_command(),         deploy_command(),
          up_command(),           run_command(),          backfill_command(),     runs_command(),
          explain_command(),      logs_command(),         alerts_command(),       retry_command(),
          clear_command(),        cancel_command(),       mark_command(),         pause_command(),
          resume_command(),       next_command(),         db_start_command(),     db_stop_command(),
          db_status_command(),    db_url_command(),       db_psql_command(),      db_migrate_command(),
          load_command(),         load_history_command(), load_show_command(),    load_state_command(),
          load_rejects_command(), load_replay_command(),  worker_command(),       job_enqueue_command(),
          job_list_command(),     job_show_command(),     job_cancel_command(),   job_retry_command(),
          job_dead_command(),     job_replay_command(),   job_stats_command(),    queue_list_command(),
          queue_pause_command(),  queue_resume_command(), queue_set_command(),    consume_command(),
          top_command(),          demo_workers_command(), demo_readers_command(), demo_scheduler_command(),
          doctor_command(),       version_command(),      help_words_command()}};
}

}  // namespace weir::cli
