-- The engine of pipelines, after a review by an enemy: the functions of 013_tasks.sql and 014_runs.sql that were wrong, as they
-- are now. What was wrong is said where it was.

-- Counted by a wait that gives up: a task that is done once more has waited since then, not since its run began.
ALTER TABLE weir.task ADD COLUMN reset_at timestamptz;
COMMENT ON COLUMN weir.task.reset_at IS 'When it was begun again by hand.';

-- The pieces that wait for their turn, in their order: however many have ended before them.
CREATE INDEX task_held ON weir.task (run_id, task_no, item) WHERE state = 'waiting' AND item >= 0;

-- Counts ended tasks in their successors, whose rows the caller has locked, and decides about those that waited. Answers
-- the successors about which was decided: those that are ready, and those that have ended by it and have successors of
-- their own to tell. state 'end': the run has nothing left to do.
CREATE OR REPLACE FUNCTION weir.count_ended(ended weir.ended_task[])
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  parallel record;
BEGIN
  -- Pieces that wait because only so many may run at a time: one that has ended makes room for the next. lock_tasks() has
  -- locked as many; those that another one took meanwhile are made up for as far as nobody holds them.
  FOR parallel IN
    SELECT e.run_id, e.task_no, count(*) AS n FROM unnest(ended) e
      JOIN weir.task t ON t.run_id = e.run_id AND t.task_no = e.task_no AND t.item = -1 AND t.max_parallel IS NOT NULL
     WHERE e.item >= 0 GROUP BY 1, 2
  LOOP
    -- MATERIALIZED: joined as it stands it may be asked once for each piece, and begin all of them.
    WITH next AS MATERIALIZED (
      SELECT w.item FROM weir.task w
       WHERE w.run_id = parallel.run_id AND w.task_no = parallel.task_no AND w.item >= 0 AND w.state = 'waiting'
       ORDER BY w.item LIMIT parallel.n FOR UPDATE SKIP LOCKED)
    UPDATE weir.task t SET state = 'ready', ready_at = clock_timestamp() FROM next n
     WHERE t.run_id = parallel.run_id AND t.task_no = parallel.task_no AND t.item = n.item;
    run_id := parallel.run_id; task_no := parallel.task_no; item := 0; state := 'ready';
    RETURN NEXT;
  END LOOP;

  RETURN QUERY
  WITH edge AS (
    SELECT e.run_id, s.no AS task_no,
           (e.state = 'success' OR e.state = 'failed' AND e.allow_failure)::int4 AS succeeded,
           (e.state IN ('failed', 'upstream_failed', 'cancelled') AND NOT (e.state = 'failed' AND e.allow_failure))::int4 AS failed,
           (e.state = 'skipped')::int4 AS skipped,
           e.follow IS NOT NULL AND s.no <> ALL (e.follow) AS passed_over
      FROM unnest(ended) e CROSS JOIN LATERAL unnest(CASE WHEN e.item >= 0 THEN ARRAY[e.task_no] ELSE e.successors END) s(no)
  ), told AS (
    SELECT g.run_id, g.task_no, count(*)::int4 AS n, sum(g.succeeded)::int4 AS succeeded, sum(g.failed)::int4 AS failed,
           sum(g.skipped)::int4 AS skipped, bool_or(g.passed_over) AS passed_over
      FROM edge g GROUP BY 1, 2
  ), decided AS (
    UPDATE weir.task t
       SET remaining = t.remaining - d.n, succeeded = t.succeeded + d.succeeded, failed = t.failed + d.failed,
           skipped = t.skipped + d.skipped, passed_over = t.passed_over OR d.passed_over, state = d.becomes,
           ready_at = CASE WHEN d.becomes = 'ready' AND t.state <> 'ready' THEN clock_timestamp() ELSE t.ready_at END,
           ended_at = CASE WHEN weir.has_ended(d.becomes) AND NOT weir.has_ended(t.state) THEN clock_timestamp()
                           ELSE t.ended_at END,
           error = CASE WHEN t.state = 'mapped' AND d.becomes = 'failed' THEN d.pieces_failed || ' of ' || t.upstream || ' pieces failed'
                        ELSE t.error END
      FROM (SELECT o.*, old.run_id AS r, old.task_no AS no, old.state AS was, old.failed + o.failed AS pieces_failed,
                   CASE old.state
                     WHEN 'waiting' THEN
                       CASE WHEN (o.passed_over OR old.passed_over) AND old.pool_id IS NOT NULL
                              THEN CASE WHEN old.remaining > o.n THEN 'waiting' ELSE 'skipped' END
                            ELSE coalesce(weir.task_verdict(old.rule, old.remaining - o.n, old.succeeded + o.succeeded,
                                                            old.failed + o.failed, old.skipped + o.skipped), 'waiting') END
                     WHEN 'mapped' THEN
                       CASE WHEN old.remaining > o.n THEN 'mapped'
                            WHEN old.cancelled THEN 'cancelled'
                            WHEN old.failed + o.failed > 0 THEN 'failed' ELSE 'success' END
                     ELSE old.state END AS becomes
              FROM told o JOIN weir.task old ON old.run_id = o.run_id AND old.task_no = o.task_no AND old.item = -1) d
     WHERE t.run_id = d.r AND t.task_no = d.no AND t.item = -1
    RETURNING t.run_id, t.task_no, t.item, t.state, t.pool_id, t.produces, d.was
  ), updated AS (
    -- A mapped task succeeds here, all others in finish_tasks().
    INSERT INTO weir.dataset_update (pipeline_id, dataset)
    SELECT p.pipeline_id, p.dataset FROM decided d CROSS JOIN LATERAL unnest(d.produces) s(dataset)
      JOIN weir.pipeline_dataset p ON p.dataset = s.dataset
     WHERE d.was = 'mapped' AND d.state = 'success' GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (pipeline_id, dataset) DO UPDATE SET updated_at = clock_timestamp()
  )
  SELECT d.run_id, d.task_no, d.item, CASE WHEN d.pool_id IS NULL THEN 'end' ELSE d.state END
    FROM decided d WHERE d.state <> d.was;
END $$;

-- Locks these tasks and their successors, in the one order; and for each piece that ends one that waits for its place. Taken
-- later, past what others hold, that one could be missed: then nobody would ever begin it.
CREATE OR REPLACE FUNCTION weir.lock_tasks(run_ids int8[], task_nos int4[], items int4[], also_deferred bool) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  PERFORM FROM (
    SELECT t.run_id FROM weir.task t
      JOIN (SELECT g.run_id, g.task_no, g.item FROM unnest(run_ids, task_nos, items) g(run_id, task_no, item)
            UNION
            SELECT o.run_id, s.no, -1
              FROM unnest(run_ids, task_nos, items) g(run_id, task_no, item)
              JOIN weir.task o ON o.run_id = g.run_id AND o.task_no = g.task_no AND o.item = g.item
             CROSS JOIN LATERAL unnest(CASE WHEN o.item >= 0 THEN ARRAY[o.task_no] ELSE o.successors END) s(no)
             WHERE also_deferred OR NOT o.deferred
            UNION
            SELECT e.run_id, e.task_no, w.item
              FROM (SELECT g.run_id, g.task_no, count(*) AS n
                      FROM unnest(run_ids, task_nos, items) g(run_id, task_no, item)
                      JOIN weir.task o ON o.run_id = g.run_id AND o.task_no = g.task_no AND o.item = g.item
                     WHERE g.item >= 0 AND (also_deferred OR NOT o.deferred) GROUP BY 1, 2) e
              JOIN weir.task m ON m.run_id = e.run_id AND m.task_no = e.task_no AND m.item = -1 AND m.max_parallel IS NOT NULL
             CROSS JOIN LATERAL (SELECT h.item FROM weir.task h
                                  WHERE h.run_id = e.run_id AND h.task_no = e.task_no AND h.item >= 0 AND h.state = 'waiting'
                                  ORDER BY h.item LIMIT e.n) w) k
        ON t.run_id = k.run_id AND t.task_no = k.task_no AND t.item = k.item
     ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE OF t) l;
END $$;

-- Ends attempts, as far as they are the process's still: 'success', 'failed', 'skipped', 'retry_wait' for one more attempt
-- after a delay, or 'ready' to hand it back. details: {"output", "follow", "usage", "snooze": true where it is not counted as
-- a failure, "lost": true where the server went away under it: that is counted like the death of a process, and after so many in
-- a row it has failed}. What was cancelled meanwhile and has not ended by itself is cancelled now.
-- Answers a row for each that was accepted, state 'accepted' where its successors were told too, 'untold' where
-- weir.tell_successors() has yet to do it; and those that count_ended() answers.
CREATE OR REPLACE FUNCTION weir.finish_tasks(worker int8, claims int8[], run_ids int8[], task_nos int4[], items int4[],
                                  states text[], delays_ms int8[], errors text[], details jsonb[])
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  ended weir.ended_task[];
BEGIN
  PERFORM weir.lock_tasks(run_ids, task_nos, items, false);
  WITH given AS (
    SELECT g.*, CASE WHEN g.details ? 'follow' THEN ARRAY(SELECT jsonb_array_elements_text(g.details -> 'follow')::int4) END AS follow,
           coalesce((g.details ->> 'snooze')::bool, false) AS snooze, coalesce((g.details ->> 'lost')::bool, false) AS lost
      FROM unnest(claims, run_ids, task_nos, items, states, delays_ms, errors, details)
           g(claim, run_id, task_no, item, state, delay_ms, error, details)
  ), own AS MATERIALIZED (
    SELECT g.*, CASE WHEN t.cancelled AND NOT weir.has_ended(g.state) THEN 'cancelled'
                     WHEN g.lost AND t.losses >= 3 THEN 'failed' ELSE g.state END AS becomes
      FROM given g JOIN weir.task t ON t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item
       AND t.state = 'running' AND t.worker_id = worker AND t.claim = g.claim
  ), done AS (
    UPDATE weir.task t
       SET state = g.becomes, worker_id = NULL, claim = NULL,
           told = weir.has_ended(g.becomes) AND NOT t.deferred,
           failures = t.failures + (NOT g.lost AND (g.state = 'failed' OR g.state = 'retry_wait' AND NOT g.snooze))::int4,
           -- Only those in a row count: who has come to an end by himself kills nobody.
           losses = CASE WHEN g.lost THEN t.losses + 1 WHEN g.state = 'ready' THEN t.losses ELSE 0 END,
           ready_at = CASE g.becomes WHEN 'retry_wait' THEN clock_timestamp() + g.delay_ms * interval '1 ms' ELSE t.ready_at END,
           ended_at = CASE WHEN weir.has_ended(g.becomes) THEN clock_timestamp() END,
           error = CASE WHEN g.lost AND g.becomes = 'failed'
                          THEN format('the server went away under it, for the %sth time: %s', t.losses + 1, g.error)
                        WHEN g.snooze OR g.state = 'ready' THEN t.error ELSE g.error END,
           output = g.details -> 'output', follow = g.follow
      FROM own g
     WHERE t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item
    RETURNING t.*, g.details -> 'usage' AS usage, g.snooze, g.lost, g.state AS given_state
  ), history AS (
    INSERT INTO weir.task_attempt (run_id, task_no, item, attempt, worker_id, ready_at, started_at, outcome, error, usage)
    SELECT d.run_id, d.task_no, d.item, d.attempt, worker, d.ready_at, d.started_at,
           CASE WHEN d.state = 'cancelled' THEN 'cancelled' WHEN d.lost THEN 'lost'
                WHEN d.given_state = 'retry_wait' THEN 'failed' ELSE d.given_state END,
           d.error, d.usage
      FROM done d WHERE NOT d.snooze AND d.state <> 'ready'
  ), updated AS (
    INSERT INTO weir.dataset_update (pipeline_id, dataset)
    SELECT p.pipeline_id, p.dataset FROM done d CROSS JOIN LATERAL unnest(d.produces) s(dataset)
      JOIN weir.pipeline_dataset p ON p.dataset = s.dataset
     WHERE d.state = 'success' GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (pipeline_id, dataset) DO UPDATE SET updated_at = clock_timestamp()
  )
  SELECT array_agg(ROW(d.run_id, d.task_no, d.item, d.state, d.allow_failure, d.successors, d.follow)::weir.ended_task)
    INTO ended FROM done d;
  RETURN QUERY
    SELECT e.run_id, e.task_no, e.item,
           CASE WHEN t.told OR NOT weir.has_ended(t.state) THEN 'accepted' ELSE 'untold' END
      FROM unnest(ended) e JOIN weir.task t ON t.run_id = e.run_id AND t.task_no = e.task_no AND t.item = e.item;
  SELECT array_agg(e) INTO ended FROM unnest(ended) e
    JOIN weir.task t ON t.run_id = e.run_id AND t.task_no = e.task_no AND t.item = e.item WHERE t.told;
  IF ended IS NOT NULL THEN
    RETURN QUERY SELECT * FROM weir.count_ended(ended);
  END IF;
END $$;

-- Up to `wanted` tasks that are ready, pool by pool from the one behind `turn_pool`. In a pool by priority, then in turns
-- between its pipelines from the one behind `turn_pipeline`, then by age. A pool with a limit is claimed from by one at
-- a time: its row is locked first, and what runs is counted by a later statement, which therefore sees all that was
-- claimed before (counted by the statement that locks, caps were broken eightfold). A pool that somebody has locked is
-- passed over: then a row without a run says that it is worth looking again.
CREATE OR REPLACE FUNCTION weir.claim_tasks(process int8, number int8, wanted int4, turn_pool int4, turn_pipeline int4)
RETURNS SETOF weir.claimed_task
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  pools     int4[];
  pool      weir.pool;
  room      int8;   -- slots left in the pool; null: any number
  level     int4;   -- the priority that is looked at
  pipelines int4[];
  left_over int4 := wanted;
  claimed   weir.claimed_task[];
  taken     weir.claimed_task[];
  busy      bool := false;
  durable   bool := false;
  starts_durable bool;
  considered int8;
  full_up   bool;   -- the next in order needs more slots than are left
BEGIN
  PERFORM FROM weir.process p WHERE p.id = process AND NOT p.dead AND p.first_claim <= number FOR KEY SHARE;
  IF NOT FOUND THEN
    RETURN;
  END IF;

  WITH RECURSIVE step AS (
    (SELECT t.pool_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id IS NOT NULL ORDER BY t.pool_id LIMIT 1)
    UNION ALL
    SELECT (SELECT t.pool_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id > s.pool_id ORDER BY t.pool_id LIMIT 1)
      FROM step s WHERE s.pool_id IS NOT NULL)
  SELECT array_agg(s.pool_id ORDER BY s.pool_id <= turn_pool, s.pool_id) INTO pools FROM step s WHERE s.pool_id IS NOT NULL;

  FOR i IN 1 .. coalesce(cardinality(pools), 0) LOOP
    EXIT WHEN left_over <= 0;
    SELECT * INTO pool FROM weir.pool p WHERE p.id = pools[i];
    room := NULL;
    IF pool.slots IS NOT NULL THEN
      SELECT * INTO pool FROM weir.pool p WHERE p.id = pools[i] FOR NO KEY UPDATE SKIP LOCKED;
      IF NOT FOUND THEN
        busy := true;
        CONTINUE;
      END IF;
      IF pool.slots IS NOT NULL THEN
        SELECT pool.slots - coalesce(sum(t.slots), 0) INTO room
          FROM weir.task t WHERE t.state = 'running' AND t.pool_id = pool.id;
      END IF;
    END IF;

    level := NULL;
    full_up := false;
    WHILE left_over > 0 AND (room IS NULL OR room > 0) AND NOT full_up LOOP
      SELECT t.priority INTO level FROM weir.task t
       WHERE t.state = 'ready' AND t.pool_id = pool.id AND (level IS NULL OR t.priority < level)
       ORDER BY t.priority DESC LIMIT 1;
      EXIT WHEN NOT FOUND;
      LOOP
        -- The pipelines that have something ready here, as many as there are tasks wanted.
        WITH RECURSIVE step AS (
          SELECT 1 AS n, coalesce(
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                       AND t.pipeline_id > turn_pipeline ORDER BY t.pipeline_id LIMIT 1),
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                     ORDER BY t.pipeline_id LIMIT 1)) AS id
          UNION ALL
          SELECT s.n + 1, coalesce(
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                       AND t.pipeline_id > s.id ORDER BY t.pipeline_id LIMIT 1),
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                     ORDER BY t.pipeline_id LIMIT 1))
            FROM step s WHERE s.id IS NOT NULL AND s.n < left_over)
        SELECT array_agg(DISTINCT s.id) INTO pipelines FROM step s WHERE s.id IS NOT NULL;
        EXIT WHEN pipelines IS NULL;

        -- An equal share for each; more where that leaves some over, the next time round.
        WITH candidate AS MATERIALIZED (
          SELECT c.*, p.id > turn_pipeline AS ahead, p.id AS pipeline
            FROM unnest(pipelines) p(id) CROSS JOIN LATERAL (
              SELECT t.run_id, t.task_no, t.item, t.slots, t.ready_at FROM weir.task t
               WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level AND t.pipeline_id = p.id
               ORDER BY t.ready_at, t.run_id, t.task_no, t.item
               LIMIT greatest(1, left_over / cardinality(pipelines)) FOR UPDATE SKIP LOCKED) c
        ), ranked AS (
          SELECT d.*, row_number() OVER (PARTITION BY d.pipeline ORDER BY d.ready_at, d.run_id, d.task_no, d.item) AS rank
            FROM candidate d
        ), fitting AS MATERIALIZED (
          -- In order and without gaps: a task that needs many slots is not passed by smaller ones for ever. One that
          -- needs more than the pool has takes all of it.
          SELECT r.*, sum(least(r.slots, coalesce(pool.slots, r.slots))) OVER w AS used, row_number() OVER w AS place
            FROM ranked r WINDOW w AS (ORDER BY r.rank, NOT r.ahead, r.pipeline)
        ), started AS (
          UPDATE weir.task t
             SET state = 'running', attempt = t.attempt + 1, worker_id = process, claim = number,
                 started_at = clock_timestamp(), slots = least(t.slots, coalesce(pool.slots, t.slots))
            FROM fitting f
           WHERE t.run_id = f.run_id AND t.task_no = f.task_no AND t.item = f.item
             AND f.place <= left_over AND (room IS NULL OR f.used <= room)
          RETURNING t.*
        )
        SELECT array_agg(ROW(s.run_id, s.task_no, s.item, s.attempt, s.failures, s.pipeline_id, s.version, s.pool_id, s.slots,
                             s.ready_at, r.logical_at, r.interval_start, r.interval_end, r.params, s.element)::weir.claimed_task),
               bool_or(s.durable), (SELECT count(*) FROM fitting)
          INTO taken, starts_durable, considered FROM started s JOIN weir.run r ON r.id = s.run_id;
        -- Nor is it passed by what is less urgent.
        full_up := room IS NOT NULL AND considered > coalesce(cardinality(taken), 0);
        EXIT WHEN taken IS NULL;
        claimed := claimed || taken;
        durable := durable OR starts_durable;
        left_over := left_over - cardinality(taken);
        room := room - (SELECT sum(t.slots) FROM unnest(taken) t);
        turn_pipeline := (SELECT t.pipeline_id FROM unnest(taken) t ORDER BY t.pipeline_id > turn_pipeline DESC, t.pipeline_id DESC LIMIT 1);
        EXIT WHEN left_over <= 0 OR room <= 0 OR full_up;
      END LOOP;
    END LOOP;
  END LOOP;

  -- A start that a crash of the server would forget is a second start of what still runs. SQL in our own transactions
  -- is undone by a crash, so its start may be forgotten.
  IF durable THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  RETURN QUERY SELECT c.* FROM unnest(claimed) c;
  IF busy THEN
    RETURN NEXT NULL::weir.claimed_task;
  END IF;
END $$;

-- For a process that does not know whether its claim was carried out. As weir.return_job_claim(). What was cancelled meanwhile
-- is not begun again.
CREATE OR REPLACE FUNCTION weir.return_task_claim(process int8, number int8) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  returned int4;
BEGIN
  PERFORM FROM weir.process p WHERE p.id = process FOR UPDATE;
  UPDATE weir.process p SET first_claim = number + 1 WHERE p.id = process AND p.first_claim <= number;
  WITH mine AS MATERIALIZED (
    SELECT t.run_id, t.task_no, t.item FROM weir.task t
     WHERE t.state = 'running' AND t.worker_id = process AND t.claim = number
     ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE)
  UPDATE weir.task t SET state = CASE WHEN t.cancelled THEN 'cancelled' ELSE 'ready' END, worker_id = NULL, claim = NULL,
                         started_at = NULL, ended_at = CASE WHEN t.cancelled THEN clock_timestamp() END
    FROM mine m WHERE t.run_id = m.run_id AND t.task_no = m.task_no AND t.item = m.item;
  GET DIAGNOSTICS returned = ROW_COUNT;
  RETURN returned;
END $$;

-- Cuts a mapped task that runs into pieces, one for each element; without any it has succeeded. False: it is not this
-- attempt's any more. Pieces take the task's pool and priority; it has none of its own while they run.
CREATE OR REPLACE FUNCTION weir.expand_task(worker int8, number int8, run int8, no int4, elements jsonb[], parallel int4) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  t weir.task;
  n int4 := cardinality(elements);
BEGIN
  SELECT * INTO t FROM weir.task k WHERE k.run_id = run AND k.task_no = no AND k.item = -1
     AND k.state = 'running' AND k.worker_id = worker AND k.claim = number FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE weir.task k
     SET state = CASE WHEN t.cancelled THEN 'cancelled' WHEN n = 0 THEN 'success' ELSE 'mapped' END,
         worker_id = NULL, claim = NULL, upstream = n, remaining = n, succeeded = 0, failed = 0, skipped = 0,
         max_parallel = parallel, ended_at = CASE WHEN t.cancelled OR n = 0 THEN clock_timestamp() END
   WHERE k.run_id = run AND k.task_no = no AND k.item = -1;
  IF n = 0 AND NOT t.cancelled THEN
    INSERT INTO weir.dataset_update (pipeline_id, dataset)
    SELECT p.pipeline_id, p.dataset FROM unnest(t.produces) s(dataset) JOIN weir.pipeline_dataset p ON p.dataset = s.dataset
     GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (pipeline_id, dataset) DO UPDATE SET updated_at = clock_timestamp();
  END IF;
  IF t.cancelled OR n = 0 THEN
    RETURN true;
  END IF;
  -- Where the end of the last one updates datasets it is told by itself: their rows are locked in one order.
  INSERT INTO weir.task (run_id, task_no, item, pipeline_id, version, pool_id, slots, upstream, remaining, priority, deferred,
                         durable, allow_failure, ready_at, state, rule, successors, element)
  SELECT t.run_id, t.task_no, e.place - 1, t.pipeline_id, t.version, t.pool_id, t.slots, 0, 0, t.priority, n > 8 OR t.produces IS NOT NULL, t.durable,
         false, CASE WHEN parallel IS NULL OR e.place <= parallel THEN clock_timestamp() END,
         CASE WHEN parallel IS NULL OR e.place <= parallel THEN 'ready' ELSE 'waiting' END, 'all_success', '{}', e.element
    FROM unnest(elements) WITH ORDINALITY e(element, place);
  RETURN true;
END $$;

-- Answers null where the pipeline has a run of the kind for that time, living or ended. The caller's transaction holds
-- the pipeline's row from here on.
CREATE OR REPLACE FUNCTION weir.create_run(pipeline int4, kind text, logical_at timestamptz, interval_start timestamptz,
                                interval_end timestamptz, params jsonb, priority int4 DEFAULT 0,
                                late_at timestamptz DEFAULT NULL, backfill int8 DEFAULT NULL) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  p      weir.pipeline;
  new_id int8;
BEGIN
  SELECT * INTO p FROM weir.pipeline k WHERE k.id = pipeline FOR NO KEY UPDATE;
  IF NOT FOUND OR p.removed THEN
    RAISE EXCEPTION 'there is no pipeline %', pipeline USING ERRCODE = 'no_data_found';
  END IF;
  INSERT INTO weir.run (pipeline_id, version, kind, logical_at, interval_start, interval_end, params, priority, late_at,
                        backfill_id, state)
  VALUES (p.id, p.version, create_run.kind, create_run.logical_at, create_run.interval_start, create_run.interval_end,
          create_run.params, create_run.priority, create_run.late_at, backfill, 'queued')
  ON CONFLICT ON CONSTRAINT run_pipeline_id_logical_at_kind_key DO NOTHING
  RETURNING run.id INTO new_id;
  -- Asked last: a run that ends moves to history in one transaction, and was still living when it was not found there before.
  IF new_id IS NOT NULL AND EXISTS (
       SELECT FROM weir.run_done d
        WHERE d.pipeline_id = p.id AND d.logical_at = create_run.logical_at AND d.kind = create_run.kind) THEN
    DELETE FROM weir.run r WHERE r.id = new_id;
    RETURN NULL;
  END IF;
  RETURN new_id;
END $$;

-- Ends runs whose tasks have all ended: they become history. Answers whose pipelines may start another one.
CREATE OR REPLACE FUNCTION weir.end_runs(run_ids int8[]) RETURNS TABLE (run_id int8, pipeline_id int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  now_at timestamptz := clock_timestamp();
  ids    int8[];
BEGIN
  SELECT array_agg(l.id) INTO ids FROM (
    SELECT r.id FROM weir.run r WHERE r.id = ANY (run_ids) AND r.state = 'running' ORDER BY r.id FOR UPDATE SKIP LOCKED) l;
  -- By a statement of its own: who had a run before us may have begun it again.
  SELECT array_agg(r.id) INTO ids FROM unnest(ids) r(id)
   WHERE EXISTS (SELECT FROM weir.task e WHERE e.run_id = r.id AND e.pool_id IS NULL AND e.state = 'ready')
     AND NOT EXISTS (SELECT FROM weir.task e WHERE e.run_id = r.id AND e.pool_id IS NOT NULL AND NOT weir.has_ended(e.state));
  IF ids IS NULL THEN
    RETURN;
  END IF;
  -- A late result, or an end that is told twice, may be locking them just now: in the one order.
  PERFORM FROM (SELECT FROM weir.task t WHERE t.run_id = ANY (ids) ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE) l;
  RETURN QUERY
  WITH ended AS MATERIALIZED (
    DELETE FROM weir.task t WHERE t.run_id = ANY (ids) RETURNING t.*
  ), history AS (
    INSERT INTO weir.task_done (run_id, run_ended_at, task_no, item, attempt, failures, ready_at, started_at, ended_at, state,
                                element, output, follow, error)
    SELECT e.run_id, now_at, e.task_no, e.item, e.attempt, e.failures, e.ready_at, e.started_at, e.ended_at, e.state,
           e.element, e.output, e.follow, e.error
      FROM ended e WHERE e.pool_id IS NOT NULL
  ), summary AS (
    SELECT e.run_id, count(*) FILTER (WHERE e.item < 0 AND e.pool_id IS NOT NULL) AS tasks,
           bool_or(e.item < 0 AND e.state IN ('failed', 'upstream_failed') AND NOT e.allow_failure) AS failed
      FROM ended e GROUP BY 1
  ), gone AS (
    DELETE FROM weir.run r WHERE r.id = ANY (ids) RETURNING r.*
  ), done AS (
    INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, started_at, late_at,
                               backfill_id, pipeline_id, version, priority, tasks, state, kind, made_by, params)
    SELECT g.id, now_at, g.logical_at, g.interval_start, g.interval_end, g.created_at, g.started_at, g.late_at, g.backfill_id,
           g.pipeline_id, g.version, g.priority, s.tasks,
           CASE WHEN g.cancelled THEN 'cancelled' WHEN s.failed THEN 'failed' ELSE 'success' END, g.kind, g.made_by, g.params
      FROM gone g JOIN summary s ON s.run_id = g.id
    RETURNING run_done.id, run_done.pipeline_id, run_done.state)
  SELECT d.id, d.pipeline_id, d.state FROM done d;
END $$;

-- Has tasks of a living run done once more, with all that comes after them (`itself` false: only what comes after). Refuses
-- while one of them runs. Answers how many.
CREATE OR REPLACE FUNCTION weir.reset_tasks(run int8, task_nos int4[], itself bool DEFAULT true) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  again int4[];
  busy  text;
  ready int8;
BEGIN
  PERFORM FROM weir.run u WHERE u.id = run AND u.state = 'running' FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'run % is not running', run USING ERRCODE = 'no_data_found';
  END IF;
  WITH RECURSIVE below AS (
    SELECT n AS no, false AS follows FROM unnest(task_nos) n
    UNION
    SELECT s.no, true FROM below b JOIN weir.task t ON t.run_id = run AND t.task_no = b.no AND t.item = -1
     CROSS JOIN LATERAL unnest(t.successors) s(no))
  SELECT array_agg(DISTINCT b.no) INTO again FROM below b WHERE itself OR b.follows;
  IF again IS NULL THEN
    RAISE EXCEPTION 'run % has none of these tasks', run USING ERRCODE = 'no_data_found';
  END IF;
  -- Only what is changed, and what it counts: pieces of other tasks go on. Looked at first, so that a refusal holds nobody up.
  FOR round IN 1 .. 2 LOOP
    IF round = 2 THEN
      PERFORM FROM (SELECT FROM weir.task t WHERE t.run_id = run AND (t.item < 0 OR t.task_no = ANY (again))
                     ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE) l;
    END IF;
    SELECT k.name INTO busy FROM weir.task t JOIN weir.pipeline_task k USING (pipeline_id, version, task_no)
     WHERE t.run_id = run AND t.task_no = ANY (again) AND t.state IN ('running', 'mapped') AND (t.state = 'running' OR t.remaining > 0)
     LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION 'task % of run % is running', busy, run USING ERRCODE = 'object_in_use';
    END IF;
  END LOOP;
  UPDATE weir.run u SET cancelled = false WHERE u.id = run;
  DELETE FROM weir.task t WHERE t.run_id = run AND t.task_no = ANY (again) AND t.item >= 0;
  -- As if they had never been: counted anew is what has ended before them and stays.
  UPDATE weir.task t
     SET state = 'waiting', told = false, cancelled = false, passed_over = c.passed_over, failures = 0, losses = 0, ready_at = NULL, started_at = NULL,
         reset_at = clock_timestamp(),
         ended_at = NULL, error = NULL, output = NULL, follow = NULL, max_parallel = NULL, upstream = k.upstream,
         remaining = k.upstream - c.ended, succeeded = c.succeeded, failed = c.failed, skipped = c.skipped
    FROM weir.pipeline_task k CROSS JOIN LATERAL (
           SELECT count(*) AS ended,
                  count(*) FILTER (WHERE p.state = 'success' OR p.state = 'failed' AND p.allow_failure) AS succeeded,
                  count(*) FILTER (WHERE p.state IN ('upstream_failed', 'cancelled') OR p.state = 'failed' AND NOT p.allow_failure) AS failed,
                  count(*) FILTER (WHERE p.state = 'skipped') AS skipped,
                  coalesce(bool_or(p.follow IS NOT NULL AND k.task_no <> ALL (p.follow)), false) AS passed_over
             FROM weir.task p WHERE p.run_id = run AND p.item = -1 AND k.task_no = ANY (p.successors)
              AND weir.has_ended(p.state) AND p.told AND p.task_no <> ALL (again)) c
   WHERE t.run_id = run AND t.item = -1 AND t.task_no = ANY (again)
     AND k.pipeline_id = t.pipeline_id AND k.version = t.version AND k.task_no = t.task_no;
  UPDATE weir.task t SET state = v.becomes, ready_at = CASE WHEN v.becomes = 'ready' THEN clock_timestamp() END,
                         ended_at = CASE WHEN v.becomes <> 'ready' THEN clock_timestamp() END
    FROM (SELECT w.task_no, CASE WHEN NOT w.passed_over THEN weir.task_verdict(w.rule, w.remaining, w.succeeded, w.failed, w.skipped)
                               WHEN w.remaining = 0 THEN 'skipped' END AS becomes
            FROM weir.task w WHERE w.run_id = run AND w.item = -1 AND w.task_no = ANY (again)) v
   WHERE t.run_id = run AND t.item = -1 AND t.task_no = v.task_no AND v.becomes IS NOT NULL;
  SELECT count(*) INTO ready FROM weir.task t WHERE t.run_id = run AND t.state = 'ready' AND t.pool_id IS NOT NULL;
  IF ready > 0 THEN
    PERFORM weir.wake('task', least(16, ready)::int4);
  END IF;
  RETURN (SELECT count(*) FROM weir.task t WHERE t.run_id = run AND t.item = -1 AND t.pool_id IS NOT NULL AND t.task_no = ANY (again));
END $$;

-- Says what became of a task, whatever it was about to do: a running one is fenced off, and what comes after it is done
-- anew by the new state.
CREATE OR REPLACE FUNCTION weir.mark_task(run int8, no int4, becomes text) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owners int8[];
BEGIN
  IF becomes NOT IN ('success', 'failed', 'skipped') THEN
    RAISE EXCEPTION 'a task is marked success, failed or skipped, not %', becomes USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM FROM weir.run u WHERE u.id = run FOR UPDATE;
  PERFORM FROM (SELECT FROM weir.task t WHERE t.run_id = run AND (t.item < 0 OR t.task_no = no)
                 ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE) l;
  -- Those of its pieces, too.
  SELECT array_agg(DISTINCT t.worker_id) INTO owners FROM weir.task t WHERE t.run_id = run AND t.task_no = no HAVING count(*) > 0;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'run % has no such task', run USING ERRCODE = 'no_data_found';
  END IF;
  DELETE FROM weir.task t WHERE t.run_id = run AND t.task_no = no AND t.item >= 0;
  UPDATE weir.task t SET state = becomes, told = true, worker_id = NULL, claim = NULL, ended_at = clock_timestamp(),
                         attempt = t.attempt + 1, remaining = 0, error = CASE WHEN becomes = 'failed' THEN 'marked failed by hand' END
   WHERE t.run_id = run AND t.task_no = no AND t.item = -1;
  PERFORM pg_notify('weir_' || o, 'cancel') FROM unnest(owners) o WHERE o IS NOT NULL;
  RETURN weir.reset_tasks(run, ARRAY[no], false);
END $$;
