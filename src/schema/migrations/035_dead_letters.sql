-- Dead letters stayed for ever. A queue may say for how many days it keeps them; without it they stay as they did, because
-- they are the only trace of work that was not done.
ALTER TABLE weir.queue ADD COLUMN keep_dead_days int4 CHECK (keep_dead_days BETWEEN 1 AND 3650);
COMMENT ON COLUMN weir.queue.keep_dead_days IS 'Days for which dead letters are kept, from their death; null: until somebody drops them.';
