-- Three functions of 006 that were wrong at their edges; what is not said here is as it was.

-- A request to stop is heeded also when it comes after the worker has looked: what it did not do is not tried again.
CREATE OR REPLACE FUNCTION weir.settle_jobs(process int8, claim int8, seqs int8[], actions text[],
                                                 delays_ms int8[], texts text[])
RETURNS SETOF int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c        weir.job_claim;
  keeps    bool;
  accepted int8[];
BEGIN
  SELECT * INTO c FROM weir.job_claim k WHERE k.worker_id = process AND k.number = claim FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT q.keep_days IS NOT NULL INTO keeps FROM weir.queue q WHERE q.id = c.queue_id;

  WITH item AS MATERIALIZED (
    SELECT j.*, a.action, o.delay_ms, CASE a.action WHEN 'done' THEN o.text ELSE left(o.text, 100000) END AS text,
           a.action IN ('done', 'cancelled') AS ends_well
      FROM unnest(c.jobs) j
      JOIN unnest(seqs, actions::weir.job_action[], delays_ms, texts) o(seq, action, delay_ms, text) USING (seq)
      CROSS JOIN LATERAL (
        SELECT CASE WHEN o.action <> 'done' AND EXISTS (SELECT FROM weir.job_cancel k WHERE k.job_id = j.id)
                    THEN 'cancelled' ELSE o.action END AS action) a
     WHERE j.seq <> ALL (c.settled)
  ), later AS (
    INSERT INTO weir.job_later (id, run_at, created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload,
                                deadline_at, unique_key, limit_key, error)
    SELECT i.id, clock_timestamp() + i.delay_ms * interval '1 ms', i.created_at, c.queue_id, c.lane, i.priority,
           i.attempt - (i.action = 'later_uncounted')::int4, i.max_attempts, i.kind, i.payload, i.deadline_at,
           i.unique_key, i.limit_key, coalesce(i.text, i.error)
      FROM item i WHERE i.action IN ('later', 'later_uncounted')
  ), back AS (
    INSERT INTO weir.job (seq, created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload, own_id,
                          deadline_at, unique_key, limit_key, error)
    SELECT i.seq, i.created_at, c.queue_id, c.lane, i.priority, i.attempt - 1, i.max_attempts, i.kind, i.payload,
           nullif(i.id, i.seq), i.deadline_at, i.unique_key, i.limit_key, i.error
      FROM item i WHERE i.action = 'back'
  ), dead AS (
    INSERT INTO weir.job_dead (id, created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload,
                               limit_key, error)
    SELECT i.id, i.created_at, c.queue_id, c.lane, i.priority, i.attempt, i.max_attempts, i.kind, i.payload,
           i.limit_key, coalesce(i.text, '')
      FROM item i WHERE i.action = 'dead'
  ), large AS (
    DELETE FROM weir.job_payload p USING item i WHERE i.ends_well AND i.payload IS NULL AND p.id = i.id
    RETURNING p.id, p.payload
  ), done AS (
    INSERT INTO weir.job_done (id, finished_at, started_at, created_at, queue_id, attempt, cancelled, worker_id, kind,
                               payload, result, error)
    SELECT i.id, clock_timestamp(), c.claimed_at, i.created_at, c.queue_id, i.attempt, i.action = 'cancelled',
           c.worker_id, i.kind, coalesce(i.payload, l.payload), CASE i.action WHEN 'done' THEN i.text::jsonb END,
           CASE i.action WHEN 'cancelled' THEN i.text END
      FROM item i LEFT JOIN large l USING (id) WHERE i.ends_well AND keeps
  ), keys AS (
    DELETE FROM weir.job_unique u USING item i
     WHERE i.unique_key IS NOT NULL AND (i.ends_well OR i.action = 'dead')
       AND u.queue_id = c.queue_id AND u.unique_key = i.unique_key AND u.job_id = i.id AND u.until IS NULL
  ), slots AS (
    DELETE FROM weir.job_slot s USING item i
     WHERE s.queue_id = c.queue_id AND s.limit_key = coalesce(i.limit_key, '') AND s.seq = i.seq
  ), cancels AS (
    DELETE FROM weir.job_cancel k USING item i WHERE k.job_id = i.id
  ), progress AS (
    DELETE FROM weir.job_progress g USING item i WHERE g.job_id = i.id
  )
  SELECT array_agg(i.seq) INTO accepted FROM item i;

  IF cardinality(c.settled) + coalesce(cardinality(accepted), 0) >= cardinality(c.jobs) THEN
    DELETE FROM weir.job_claim k WHERE k.worker_id = process AND k.number = claim;
  ELSIF accepted IS NOT NULL THEN
    UPDATE weir.job_claim k SET settled = k.settled || accepted
     WHERE k.worker_id = process AND k.number = claim;
  END IF;
  -- What is handed back waits again, and those who sleep have not heard of it.
  IF 'back' = ANY (actions) THEN
    PERFORM weir.wake_queue(c.queue_id);
  END IF;
  RETURN QUERY SELECT unnest(accepted);
END $$;

-- The next job may be due at infinity, or in a year that no client's clock knows: nobody looks further than an hour ahead.
CREATE OR REPLACE FUNCTION weir.promote_jobs(wanted int4, OUT promoted int4, OUT next_ms int8)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  woken record;
BEGIN
  promoted := 0;
  FOR woken IN
    WITH due AS MATERIALIZED (
      SELECT l.ctid AS tid FROM weir.job_later l WHERE l.run_at <= now()
       ORDER BY l.run_at LIMIT wanted FOR UPDATE SKIP LOCKED
    ), gone AS (
      -- An array: joined, a plan made before the flood reads the whole table.
      DELETE FROM weir.job_later l WHERE l.ctid = ANY (ARRAY(SELECT d.tid FROM due d)) RETURNING l.*
    ), back AS (
      INSERT INTO weir.job (created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload, own_id,
                            deadline_at, unique_key, limit_key, error)
      SELECT g.created_at, g.queue_id, g.lane, g.priority, g.attempt, g.max_attempts, g.kind, g.payload, g.id,
             g.deadline_at, g.unique_key, g.limit_key, g.error
        FROM gone g ORDER BY g.run_at
      RETURNING job.queue_id
    )
    SELECT b.queue_id, count(*)::int4 AS jobs FROM back b GROUP BY 1
  LOOP
    promoted := promoted + woken.jobs;
    PERFORM weir.wake_queue(woken.queue_id, greatest(2, least(16, woken.jobs / 100)));
  END LOOP;
  SELECT greatest(0, extract(epoch FROM least(l.run_at, clock_timestamp() + interval '1 hour') - clock_timestamp())
                     * 1000)::int8 INTO next_ms
    FROM weir.job_later l WHERE l.run_at > now() ORDER BY l.run_at LIMIT 1;
END $$;

-- A job that moves while it is looked for is found; and history has a partition, also where nobody worked for long.
CREATE OR REPLACE FUNCTION weir.cancel_job(job_id int8) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone  weir.job;
  keeps bool;
  owner int8;
BEGIN
  LOOP
    DELETE FROM weir.job j USING weir.waiting_job(cancel_job.job_id) w
     WHERE j.lane = w.lane AND j.queue_id = w.queue_id AND j.priority = w.priority AND j.seq = w.seq
    RETURNING j.* INTO gone;
    IF NOT FOUND THEN
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
