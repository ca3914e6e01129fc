-- How long jobs waited and ran of late, as the process that ran them saw it: counts by step, see src/queue/durations.cc.
-- Whoever looks adds those of all processes up.
ALTER TABLE weir.queue_stats
  ADD COLUMN waits int8[] NOT NULL DEFAULT '{}',
  ADD COLUMN runs  int8[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN weir.queue_stats.waits IS
  'Jobs by the time from their enqueueing to their begin, those that were neither delayed nor tried before; of no meaning once updated_at is 10 s ago.';
COMMENT ON COLUMN weir.queue_stats.runs IS
  'Attempts by the time from their begin to the end of the batch they ran in; of no meaning once updated_at is 10 s ago.';
