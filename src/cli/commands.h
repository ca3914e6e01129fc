#pragma once

#include "cli/command.h"

namespace weir::cli {

/// Every command of the program, in the order in which help shows them.
Registry all_commands();

// One file each where nothing else is said, src/cli/commands/<name>.cc.
Command init_command();
Command check_command();
Command up_command();
Command plan_command();
Command deploy_command();
Command run_command();
Command backfill_command();
Command runs_command();
Command explain_command();
Command logs_command();
Command alerts_command();
Command retry_command();
Command clear_command();
Command cancel_command();
Command mark_command();
Command pause_command();
Command resume_command();
Command db_start_command();
Command db_stop_command();
Command db_status_command();
Command db_url_command();
Command db_psql_command();
Command db_migrate_command();
Command consume_command();
Command worker_command();
Command job_enqueue_command();
// job_list.cc
Command job_list_command();
Command job_dead_command();
Command job_show_command();
// job_change.cc
Command job_cancel_command();
Command job_retry_command();
Command job_replay_command();
Command job_stats_command();
// queue_change.cc
Command queue_list_command();
Command queue_pause_command();
Command queue_resume_command();
Command queue_set_command();
// load.cc, load_runs.cc, load_replay.cc
Command load_command();
Command load_history_command();
Command load_state_command();
Command load_show_command();
Command load_rejects_command();
Command load_replay_command();
Command next_command();
Command top_command();
Command demo_workers_command();
Command demo_readers_command();
Command demo_scheduler_command();
Command doctor_command();
Command version_command();
Command help_words_command();

}  // namespace weir::cli
