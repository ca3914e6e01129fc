#include "cli/commands.h"

namespace weir::cli {

Registry all_commands() {
  return {
      .groups = {{"db", "the database that Weir works on"},
                 {"job", "jobs in queues"},
                 {"queue", "queues and their settings"},
                 {"stream", "tables of events that groups of consumers share"},
                 {"feed", "where batches are submitted, and the sinks that have them"},
                 {"batch", "batches that are applied in order"},
                 {"group", "consumers of batches, and the groups that they have"},
                 {"demo", "what Weir does, shown with real figures"}},
      .commands = {
          init_command(),         check_command(),         plan_command(),          deploy_command(),
          up_command(),           run_command(),           backfill_command(),      runs_command(),
          explain_command(),      logs_command(),          alerts_command(),        retry_command(),
          clear_command(),        cancel_command(),        mark_command(),          pause_command(),
          resume_command(),       next_command(),          db_start_command(),      db_stop_command(),
          db_status_command(),    db_url_command(),        db_psql_command(),       db_migrate_command(),
          load_command(),         load_history_command(),  load_show_command(),     load_state_command(),
          load_rejects_command(), load_replay_command(),   worker_command(),        job_enqueue_command(),
          job_list_command(),     job_show_command(),      job_cancel_command(),    job_retry_command(),
          job_dead_command(),     job_replay_command(),    job_drop_command(),      job_stats_command(),
          queue_list_command(),   queue_pause_command(),   queue_resume_command(),  queue_set_command(),
          consume_command(),      stream_create_command(), stream_adopt_command(),  stream_list_command(),
          stream_show_command(),  stream_lag_command(),    stream_peek_command(),   stream_consume_command(),
          stream_pause_command(), stream_resume_command(), stream_seek_command(),   stream_replay_command(),
          stream_dead_command(),  stream_set_command(),    stream_keep_command(),   stream_rebase_command(),
          stream_drop_command(),  feed_create_command(),   feed_list_command(),     feed_set_command(),
          feed_sink_command(),    feed_pause_command(),    feed_resume_command(),   feed_drop_command(),
          batch_submit_command(), batch_list_command(),    batch_show_command(),    batch_retry_command(),
          batch_fail_command(),   batch_lag_command(),     group_consume_command(), group_status_command(),
          top_command(),          demo_workers_command(),  demo_readers_command(),  demo_scheduler_command(),
          demo_groups_command(),  doctor_command(),        version_command(),       help_words_command()}};
}

}  // namespace weir::cli
