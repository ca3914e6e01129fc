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
Command job_drop_command();
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
// stream_adopt.cc, stream_make.cc, stream_show.cc, stream_change.cc, stream_consume.cc
Command stream_create_command();
Command stream_adopt_command();
Command stream_list_command();
Command stream_show_command();
Command stream_lag_command();
Command stream_peek_command();
Command stream_consume_command();
Command stream_pause_command();
Command stream_resume_command();
Command stream_seek_command();
Command stream_replay_command();
Command stream_dead_command();
Command stream_set_command();
Command stream_keep_command();
Command stream_rebase_command();
Command stream_drop_command();
// feed.cc
Command feed_create_command();
Command feed_list_command();
Command feed_set_command();
Command feed_sink_command();
Command feed_pause_command();
Command feed_resume_command();
Command feed_drop_command();
// batch_submit.cc, batch_show.cc, batch_change.cc
Command batch_submit_command();
Command batch_list_command();
Command batch_show_command();
Command batch_lag_command();
Command batch_retry_command();
Command batch_fail_command();
// batch_show.cc, group_consume.cc
Command group_status_command();
Command group_consume_command();
Command next_command();
Command top_command();
Command demo_workers_command();
Command demo_readers_command();
Command demo_scheduler_command();
Command demo_groups_command();
Command doctor_command();
Command version_command();
Command help_words_command();

}  // namespace weir::cli
