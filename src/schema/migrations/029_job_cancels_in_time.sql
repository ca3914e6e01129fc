-- A job that a worker has in its transaction (transactional mode) cannot be asked to stop: whoever cancelled it waited
-- for that transaction's end, and was then told that the job is not there.

-- As it was, but for the limit: a claim holds a row for a moment only.
CREATE OR REPLACE FUNCTION weir.cancel_job(job_id int8) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone  weir.job;
  keeps bool;
  owner int8;
  patience constant text := current_setting('lock_timeout');
BEGIN
  LOOP
    BEGIN
      PERFORM set_config('lock_timeout', '2s', true);
      DELETE FROM weir.job j USING weir.waiting_job(cancel_job.job_id) w
       WHERE j.lane = w.lane AND j.queue_id = w.queue_id AND j.priority = w.priority AND j.seq = w.seq
      RETURNING j.* INTO gone;
      PERFORM set_config('lock_timeout', patience, true);
    EXCEPTION WHEN lock_not_available THEN
      RETURN 'in_transaction';
    END;
    IF gone.seq IS NULL THEN
      WITH later AS (DELETE FROM weir.job_later l WHERE l.id = cancel_job.job_id RETURNING l.*)
      SELECT l.id, l.created_at, l.queue_id, l.lane, l.priority, l.attempt, l.max_attempts, l.kind, l.payload, l.id,
             l.deadline_at, l.unique_key, l.limit_key, l.error INTO gone FROM later l;
    END IF;
    EXIT WHEN gone.seq IS NOT NULL;
    -- With the claim locked: whoever settles the job waits, and finds what is asked of it.
    SELECT c.worker_id INTO owner FROM weir.job_claim c
     WHERE EXISTS (SELECT FROM unnest(c.jobs) j WHERE j.id = cancel_job.job_id AND j.seq <> ALL (c.settled)) FOR UPDATE;
    IF FOUND THEN
      INSERT INTO weir.job_cancel (job_id, worker_id) VALUES (cancel_job.job_id, owner)
      ON CONFLICT ON CONSTRAINT job_cancel_pkey DO UPDATE SET worker_id = excluded.worker_id;
      PERFORM pg_notify('weir_' || owner, 'cancel');
      RETURN 'stopping';
    END IF;
    -- Three looks may miss a job that moves. One look at all its homes does not: then it is looked for again.
    PERFORM FROM weir.waiting_job(cancel_job.job_id)
      UNION ALL SELECT FROM weir.job_later l WHERE l.id = cancel_job.job_id
      UNION ALL SELECT FROM weir.job_claim c, unnest(c.jobs) j
                 WHERE j.id = cancel_job.job_id AND j.seq <> ALL (c.settled);
    IF NOT FOUND THEN
      RETURN 'missing';
    END IF;
  END LOOP;

  SELECT q.keep_days IS NOT NULL INTO keeps FROM weir.queue q WHERE q.id = gone.queue_id;
  IF keeps THEN
    -- Workers make history's partitions a week ahead; there may have been none for longer.
    IF to_regclass('weir.job_done_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL THEN
      PERFORM weir.keep_job_history();
    END IF;
    INSERT INTO weir.job_done (id, finished_at, started_at, created_at, queue_id, attempt, cancelled, kind, payload)
    VALUES (cancel_job.job_id, clock_timestamp(), clock_timestamp(), gone.created_at, gone.queue_id, gone.attempt, true,
            gone.kind,
            coalesce(gone.payload, (SELECT p.payload FROM weir.job_payload p WHERE p.id = cancel_job.job_id)));
  END IF;
  DELETE FROM weir.job_payload p WHERE p.id = cancel_job.job_id;
  DELETE FROM weir.job_unique u
   WHERE u.queue_id = gone.queue_id AND u.unique_key = gone.unique_key AND u.job_id = cancel_job.job_id;
  RETURN 'cancelled';
END $$;

SELECT weir.apply_grants();
