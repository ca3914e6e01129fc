-- How fast a process works, as it saw itself between its last two reports: whoever looks needs no second look.
ALTER TABLE weir.queue_stats
  ADD COLUMN done_rate   float8 NOT NULL DEFAULT 0,
  ADD COLUMN failed_rate float8 NOT NULL DEFAULT 0;
COMMENT ON COLUMN weir.queue_stats.done_rate IS 'Jobs a second at updated_at; of no meaning once that is 10 s ago.';
