-- How jobs are worked on: what a worker does with more than one statement.

-- What a settled job becomes. The worker decides (src/queue/settling.h), these functions carry it out.
CREATE TYPE weir.job_action AS ENUM ('done', 'cancelled', 'later', 'later_uncounted', 'dead', 'back');

-- Writes the outcomes of some of a claim's jobs; answers the seq of those it accepted. None where the claim is not the
-- process's any more: its lease was lost, somebody else has the jobs, and what was done has to be forgotten.
-- A job is settled once: what is said again about it, because a commit's outcome was unknown, changes nothing.
CREATE FUNCTION weir.settle_jobs(process int8, claim int8, seqs int8[], actions text[], delays_ms int8[], texts text[])
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
    SELECT j.*, o.action, o.delay_ms, CASE o.action WHEN 'done' THEN o.text ELSE left(o.text, 100000) END AS text, o.action IN ('done', 'cancelled') AS ends_well
      FROM unnest(c.jobs) j
      JOIN unnest(seqs, actions::weir.job_action[], delays_ms, texts) o(seq, action, delay_ms, text) USING (seq)
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

-- For a process that does not know whether its claim was carried out, because the session was lost: hands back what it
-- took, and sees to it that it does not happen later. FOR UPDATE waits for one that is under way.
CREATE FUNCTION weir.return_job_claim(process int8, claim int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM weir.process p WHERE p.id = process FOR UPDATE;
  UPDATE weir.process p SET first_claim = claim + 1 WHERE p.id = process AND p.first_claim <= claim;
  PERFORM weir.settle_jobs(process, claim, array_agg(j.seq), array_agg('back'::text), array_agg(0::int8),
                           array_agg(NULL::text))
     FROM weir.job_claim k, unnest(k.jobs) j WHERE k.worker_id = process AND k.number = claim;
  RETURN FOUND;
END $$;

-- Puts the jobs of dead processes back where they were, claim by claim; answers how many. A job that was begun as often
-- as it may be goes to the dead letters: it may be what kills its process.
CREATE FUNCTION weir.rescue_jobs(max_claims int4) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c       weir.job_claim;
  rescued int8 := 0;
BEGIN
  FOR c IN
    SELECT * FROM weir.job_claim k
     WHERE NOT EXISTS (SELECT FROM weir.process p WHERE p.id = k.worker_id AND NOT p.dead)
     ORDER BY k.worker_id, k.number LIMIT max_claims FOR UPDATE SKIP LOCKED
  LOOP
    -- What somebody asked to stop has stopped.
    SELECT rescued + count(*) INTO rescued
      FROM (SELECT array_agg(j.seq) AS seqs, array_agg('cancelled'::text) AS actions, array_agg(0::int8) AS delays,
                   array_agg(NULL::text) AS texts
              FROM unnest(c.jobs) j JOIN weir.job_cancel x ON x.job_id = j.id) s,
           weir.settle_jobs(c.worker_id, c.number, s.seqs, s.actions, s.delays, s.texts);
    SELECT k.settled INTO c.settled FROM weir.job_claim k WHERE k.worker_id = c.worker_id AND k.number = c.number;
    CONTINUE WHEN NOT FOUND;
    WITH item AS MATERIALIZED (
      SELECT j.* FROM unnest(c.jobs) j WHERE j.seq <> ALL (c.settled)
    ), back AS (
      INSERT INTO weir.job (seq, created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload, own_id,
                            deadline_at, unique_key, limit_key, error)
      SELECT i.seq, i.created_at, c.queue_id, c.lane, i.priority, i.attempt, i.max_attempts, i.kind, i.payload,
             nullif(i.id, i.seq), i.deadline_at, i.unique_key, i.limit_key, 'the process that ran it died'
        FROM item i WHERE i.attempt < i.max_attempts
    ), dead AS (
      INSERT INTO weir.job_dead (id, created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload,
                                 limit_key, error)
      SELECT i.id, i.created_at, c.queue_id, c.lane, i.priority, i.attempt, i.max_attempts, i.kind, i.payload,
             i.limit_key, 'the process that ran it died, at the last attempt'
        FROM item i WHERE i.attempt >= i.max_attempts
      RETURNING id
    ), keys AS (
      DELETE FROM weir.job_unique u USING item i
       WHERE i.unique_key IS NOT NULL AND i.attempt >= i.max_attempts
         AND u.queue_id = c.queue_id AND u.unique_key = i.unique_key AND u.job_id = i.id AND u.until IS NULL
    ), slots AS (
      DELETE FROM weir.job_slot s USING item i
       WHERE s.queue_id = c.queue_id AND s.limit_key = coalesce(i.limit_key, '') AND s.seq = i.seq
    ), progress AS (
      DELETE FROM weir.job_progress g USING item i WHERE g.job_id = i.id
    )
    SELECT rescued + count(*) INTO rescued FROM item i;
    DELETE FROM weir.job_claim k WHERE k.worker_id = c.worker_id AND k.number = c.number;
    PERFORM weir.wake_queue(c.queue_id);
  END LOOP;
  RETURN rescued;
END $$;

-- Claims from a queue with a limit. The lock of the queue's row makes claims of it take turns; the second statement
-- sees every slot that was committed before (counting in the same statement as the lock would count the past).
CREATE FUNCTION weir.claim_limited_jobs(process int8, number int8, lane int2, queue int4, wanted int4)
RETURNS SETOF weir.claimed_job
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  q      weir.queue;
  r      weir.queue_rate;
  free   int8 := wanted;
  taken  weir.claimed_job[];
  bucket interval;
BEGIN
  PERFORM FROM weir.process p WHERE p.id = process AND NOT p.dead AND p.first_claim <= claim_limited_jobs.number FOR KEY SHARE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT * INTO q FROM weir.queue WHERE id = claim_limited_jobs.queue AND NOT paused FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF q.max_running IS NOT NULL THEN
    free := least(free, q.max_running - (SELECT count(*) FROM weir.job_slot s WHERE s.queue_id = q.id));
  END IF;
  IF q.rate_limit IS NOT NULL THEN
    bucket := q.rate_period_ms * interval '1 ms' / 64;
    SELECT q.id, array_agg(b.at ORDER BY b.at), array_agg(b.started ORDER BY b.at) INTO r
      FROM weir.queue_rate t, unnest(t.at, t.started) b(at, started)
     WHERE t.queue_id = q.id AND b.at > clock_timestamp() - q.rate_period_ms * interval '1 ms';
    free := least(free, q.rate_limit - coalesce((SELECT sum(s) FROM unnest(r.started) s), 0));
  END IF;
  IF free <= 0 THEN
    RETURN;
  END IF;

  WITH full_key AS MATERIALIZED (
    SELECT s.limit_key, count(*) AS running FROM weir.job_slot s
     WHERE q.max_per_key IS NOT NULL AND s.queue_id = q.id AND s.limit_key <> '' GROUP BY 1
  ), candidate AS MATERIALIZED (
    SELECT j.ctid AS tid, j.limit_key, j.priority, j.seq
      FROM weir.job j
     WHERE j.lane = claim_limited_jobs.lane AND j.queue_id = q.id
       AND (q.max_per_key IS NULL OR j.limit_key IS NULL
            OR NOT EXISTS (SELECT FROM full_key f WHERE f.limit_key = j.limit_key AND f.running >= q.max_per_key))
     ORDER BY j.priority, j.seq
     LIMIT CASE WHEN q.max_per_key IS NULL THEN free ELSE greatest(free, 1000) END
       FOR UPDATE SKIP LOCKED
  ), numbered AS (
    SELECT d.*, row_number() OVER (PARTITION BY d.limit_key ORDER BY d.priority, d.seq)
                + coalesce((SELECT f.running FROM full_key f WHERE f.limit_key = d.limit_key), 0) AS place
      FROM candidate d
  ), picked AS MATERIALIZED (
    SELECT n.tid FROM numbered n
     WHERE q.max_per_key IS NULL OR n.limit_key IS NULL OR n.limit_key = '' OR n.place <= q.max_per_key
     ORDER BY n.priority, n.seq LIMIT free
  ), gone AS (
    DELETE FROM weir.job j USING picked WHERE j.ctid = picked.tid RETURNING j.*
  ), slot AS (
    INSERT INTO weir.job_slot (queue_id, limit_key, seq) SELECT g.queue_id, coalesce(g.limit_key, ''), g.seq FROM gone g
  )
  SELECT array_agg(ROW(g.seq, coalesce(g.own_id, g.seq), g.created_at, g.deadline_at, g.priority, g.attempt + 1,
                       g.max_attempts, g.kind, g.payload, g.unique_key, g.limit_key, g.error)::weir.claimed_job
                   ORDER BY g.priority, g.seq)
    INTO taken FROM gone g;
  IF taken IS NULL THEN
    RETURN;
  END IF;

  IF q.rate_limit IS NOT NULL THEN
    -- A bucket ends with its latest start: so what leaves the window leaves it too late, never too early.
    IF r.at[cardinality(r.at)] > clock_timestamp() - bucket AND cardinality(r.at) > 64 THEN
      r.at[cardinality(r.at)] := clock_timestamp();
      r.started[cardinality(r.at)] := r.started[cardinality(r.at)] + cardinality(taken);
    ELSE
      r.at := r.at || clock_timestamp();
      r.started := r.started || cardinality(taken);
    END IF;
    INSERT INTO weir.queue_rate AS t (queue_id, at, started) VALUES (q.id, r.at, r.started)
    ON CONFLICT (queue_id) DO UPDATE SET at = excluded.at, started = excluded.started;
  END IF;
  INSERT INTO weir.job_claim (worker_id, number, queue_id, lane, jobs)
  VALUES (process, claim_limited_jobs.number, q.id, claim_limited_jobs.lane, taken);
  RETURN QUERY SELECT t.* FROM unnest(taken) t;
END $$;

-- Moves jobs that are due to where they wait, and wakes. Answers how many, and the milliseconds until the next one is
-- due (null: none).
CREATE FUNCTION weir.promote_jobs(wanted int4, OUT promoted int4, OUT next_ms int8)
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
  SELECT greatest(0, extract(epoch FROM l.run_at - clock_timestamp()) * 1000)::int8 INTO next_ms
    FROM weir.job_later l WHERE l.run_at > now() ORDER BY l.run_at LIMIT 1;
END $$;

-- Ends a job that waits, and asks the process of one that runs to stop it. Answers cancelled, stopping or missing.
CREATE FUNCTION weir.cancel_job(job_id int8) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone    weir.job;
  owner   int8;
BEGIN
  DELETE FROM weir.job j USING weir.waiting_job(cancel_job.job_id) w
   WHERE j.lane = w.lane AND j.queue_id = w.queue_id AND j.priority = w.priority AND j.seq = w.seq
  RETURNING j.* INTO gone;
  IF NOT FOUND THEN
    WITH later AS (DELETE FROM weir.job_later l WHERE l.id = cancel_job.job_id RETURNING l.*)
    SELECT l.id, l.created_at, l.queue_id, l.lane, l.priority, l.attempt, l.max_attempts, l.kind, l.payload, l.id,
           l.deadline_at, l.unique_key, l.limit_key, l.error INTO gone FROM later l;
  END IF;
  IF gone.seq IS NOT NULL THEN
    INSERT INTO weir.job_done (id, finished_at, started_at, created_at, queue_id, attempt, cancelled, kind, payload)
    SELECT cancel_job.job_id, clock_timestamp(), clock_timestamp(), gone.created_at, q.id, gone.attempt, true, gone.kind,
           coalesce(gone.payload, (SELECT p.payload FROM weir.job_payload p WHERE p.id = cancel_job.job_id))
      FROM weir.queue q WHERE q.id = gone.queue_id AND q.keep_days IS NOT NULL;
    DELETE FROM weir.job_payload p WHERE p.id = cancel_job.job_id;
    DELETE FROM weir.job_unique u
     WHERE u.queue_id = gone.queue_id AND u.unique_key = gone.unique_key AND u.job_id = cancel_job.job_id;
    RETURN 'cancelled';
  END IF;
  SELECT c.worker_id INTO owner FROM weir.job_claim c
   WHERE EXISTS (SELECT FROM unnest(c.jobs) j WHERE j.id = cancel_job.job_id AND j.seq <> ALL (c.settled));
  IF NOT FOUND THEN
    RETURN 'missing';
  END IF;
  INSERT INTO weir.job_cancel (job_id, worker_id) VALUES (cancel_job.job_id, owner)
  ON CONFLICT ON CONSTRAINT job_cancel_pkey DO UPDATE SET worker_id = excluded.worker_id;
  PERFORM pg_notify('weir_' || owner, 'cancel');
  RETURN 'stopping';
END $$;

-- Dead letters start again from nothing.
CREATE FUNCTION weir.replay_jobs(job_ids int8[]) RETURNS SETOF int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  queue int4;
BEGIN
  FOR queue IN
    WITH gone AS (
      DELETE FROM weir.job_dead d WHERE d.id = ANY (job_ids) RETURNING d.*
    )
    INSERT INTO weir.job (created_at, queue_id, lane, priority, max_attempts, kind, payload, own_id, limit_key, error)
    SELECT g.created_at, g.queue_id, g.lane, g.priority, g.max_attempts, g.kind, g.payload, g.id, g.limit_key, g.error
      FROM gone g ORDER BY g.id
    RETURNING job.queue_id
  LOOP
    PERFORM weir.wake_queue(queue);
    RETURN NEXT queue;
  END LOOP;
END $$;

-- Makes the partitions of the coming week and drops those whose days nobody keeps any more. With the owner's rights,
-- because workers make no tables. To be called under a short lock_timeout, and again later when it fails.
CREATE FUNCTION weir.keep_job_history() RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  today  date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  oldest date := today - coalesce((SELECT max(q.keep_days) FROM weir.queue q), 1);
  day    date;
  part   text;
  changed int4 := 0;
BEGIN
  -- One at a time: two would make the same partition.
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.keep_job_history', 0)) THEN
    RETURN 0;
  END IF;
  FOR day IN SELECT today + n FROM generate_series(-1, 7) n LOOP
    part := 'job_done_' || to_char(day, 'YYYYMMDD');
    IF to_regclass('weir.' || part) IS NULL THEN
      EXECUTE format('CREATE TABLE weir.%I (LIKE weir.job_done INCLUDING DEFAULTS)', part);
      EXECUTE format('ALTER TABLE weir.job_done ATTACH PARTITION weir.%I FOR VALUES FROM (%L) TO (%L)', part,
                     day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
      changed := changed + 1;
    END IF;
  END LOOP;
  FOR part IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'weir.job_done'::regclass AND c.relname ~ '^job_done_\d{8}$'
       AND to_date(right(c.relname, 8), 'YYYYMMDD') < oldest
  LOOP
    BEGIN
      EXECUTE format('DROP TABLE weir.%I', part);
      changed := changed + 1;
    EXCEPTION WHEN lock_not_available THEN
      NULL;  -- somebody reads history: what was made stays, and this one goes the next time
    END;
  END LOOP;
  RETURN changed;
END $$;
SELECT weir.keep_job_history();

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY[
      'weir.settle_jobs(int8, int8, int8[], text[], int8[], text[])',
      'weir.return_job_claim(int8, int8)',
      'weir.rescue_jobs(int4)',
      'weir.claim_limited_jobs(int8, int8, int2, int4, int4)',
      'weir.promote_jobs(int4)',
      'weir.cancel_job(int8)',
      'weir.replay_jobs(int8[])',
      'weir.keep_job_history()']) f;

SELECT weir.apply_grants();
