-- Who waits for a lock of somebody else's, after another review: functions of 029_job_cancels_in_time.sql and 030_groups_mended.sql.

-- As before, but whoever allows less than 2 s for a lock has no more to wait, and the answer 'in_transaction' is of any
-- transaction that has the job's row: mostly that of a worker in transactional mode.
CREATE OR REPLACE FUNCTION weir.cancel_job(job_id int8) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  gone  weir.job;
  keeps bool;
  owner int8;
  patience constant text := current_setting('lock_timeout');
  limited  constant text := CASE WHEN patience::interval > interval '0' AND patience::interval < interval '2 s' THEN patience ELSE '2s' END;
BEGIN
  LOOP
    BEGIN
      PERFORM set_config('lock_timeout', limited, true);
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

-- As before, but so many that are blocked do not take the sweep's time, at whose end all that it did was undone: after twenty of them the others
-- are hardly waited for, and after 1000 it ends. Each sweep takes them in another order, so that whoever can be had has his turn.
CREATE OR REPLACE FUNCTION weir.recover_groups(sink int4, space int4, max_attempts int4, backoff_ms int8)
RETURNS TABLE (tenant text, key text, owner text, run_id int8, idx int4, attempt int4, failed bool)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
  h weir.group_hold;
  s weir.batch_step;
  executing bool;
  has_failed bool;
  blocked int4 := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.recover_groups:' || sink, 0)) THEN
    RETURN;
  END IF;
  FOR h IN SELECT * FROM weir.group_hold x
            WHERE x.sink_id = sink AND (x.lock_key IS NOT NULL OR x.expires_at <= clock_timestamp()) ORDER BY random() LOOP
    CONTINUE WHEN h.lock_key IS NOT NULL AND NOT pg_try_advisory_xact_lock(space, h.lock_key);
    -- Only now: a living owner's heartbeat does not wait for us. He who has the lock and not yet written that, finds the row gone.
    SELECT * INTO h FROM weir.group_hold x
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.owner = h.owner
       AND (x.lock_key IS NOT NULL OR x.expires_at <= clock_timestamp()) FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    executing := EXISTS (SELECT FROM weir.batch_step x
                          WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx
                            AND x.state = 'executing' AND x.attempt = h.attempt);
    SELECT * INTO s FROM weir.batch_step x
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx
       AND x.state = 'executing' AND x.attempt = h.attempt FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN executing AND s.run_id IS NULL;
    has_failed := coalesce(s.attempt >= max_attempts, false);
    BEGIN
      DELETE FROM weir.group_hold x WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key;
      IF executing THEN
        INSERT INTO weir.batch_attempt (begun_at, run_at, run_id, sink_id, idx, attempt, outcome, owner, error)
        VALUES (h.begun_at, s.run_at, s.run_id, sink, s.idx, s.attempt, 'lost', h.owner, 'its consumer was gone');
        UPDATE weir.batch_step x
           SET state = 'waiting_retry', changed_at = clock_timestamp(), error = 'its consumer was gone',
               next_at = clock_timestamp() + backoff_ms * x.attempt * interval '1 ms'
         WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx;
      END IF;
      IF has_failed THEN
        PERFORM weir.fail_batch_run(sink, h.tenant, h.key, s.run_id,
                                    format('batch %s was begun %s times, and its consumer was gone each time: does it run out of memory?',
                                           s.idx, s.attempt));
      END IF;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      -- Somebody has what is behind it: the next time.
      blocked := blocked + 1;
      EXIT WHEN blocked = 1000;
      IF blocked = 20 THEN
        PERFORM set_config('lock_timeout', '1ms', true);
      END IF;
      CONTINUE;
    END;
    RETURN QUERY SELECT h.tenant, h.key, h.owner, h.run_id, h.idx, h.attempt::int4, has_failed;
  END LOOP;
END $$;
