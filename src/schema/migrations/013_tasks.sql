-- What happens to the tasks of a run, see docs/state-machine.md. Three rules keep it free of deadlocks: rows are locked in
-- one order (run_id, task_no, item DESC), a statement tells one generation of successors and no more, and claims skip
-- what is locked.

-- What is to become of a task that waits, by what became of those before it; null: it waits on. The same table is in
-- pipeline/task_verdict.cc.
CREATE FUNCTION weir.task_verdict(rule text, remaining int4, succeeded int4, failed int4, skipped int4) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN rule = 'always' THEN 'ready'
  WHEN rule = 'one_success' AND succeeded > 0 THEN 'ready'
  WHEN rule = 'one_failed' AND failed > 0 THEN 'ready'
  WHEN remaining > 0 THEN NULL
  WHEN rule = 'all_done' THEN 'ready'
  WHEN rule = 'one_failed' THEN 'skipped'
  WHEN failed > 0 THEN 'upstream_failed'
  WHEN rule = 'all_success' AND skipped > 0 THEN 'skipped'
  WHEN rule IN ('one_success', 'none_failed_min_one_success') AND succeeded = 0 AND skipped > 0 THEN 'skipped'
  ELSE 'ready'
END;

CREATE FUNCTION weir.has_ended(state text) RETURNS bool
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled');

-- A task that has ended, as its successors have to hear it.
CREATE TYPE weir.ended_task AS (run_id int8, task_no int4, item int4, state text, allow_failure bool, successors int4[],
                                follow int4[]);

-- Counts ended tasks in their successors, whose rows the caller has locked, and decides about those that waited. Answers
-- the successors about which was decided: those that are ready, and those that have ended by it and have successors of
-- their own to tell. state 'end': the run has nothing left to do.
CREATE FUNCTION weir.count_ended(ended weir.ended_task[])
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  parallel record;
BEGIN
  -- Pieces that wait because only so many may run at a time: one that has ended makes room for the next.
  FOR parallel IN
    SELECT e.run_id, e.task_no, count(*) AS n FROM unnest(ended) e
      JOIN weir.task t ON t.run_id = e.run_id AND t.task_no = e.task_no AND t.item = -1 AND t.max_parallel IS NOT NULL
     WHERE e.item >= 0 GROUP BY 1, 2
  LOOP
    UPDATE weir.task t SET state = 'ready', ready_at = clock_timestamp()
      FROM (SELECT w.item FROM weir.task w
             WHERE w.run_id = parallel.run_id AND w.task_no = parallel.task_no AND w.item >= 0 AND w.state = 'waiting'
             ORDER BY w.item LIMIT parallel.n FOR UPDATE SKIP LOCKED) n
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
    RETURNING t.run_id, t.task_no, t.item, t.state, t.pool_id, d.was
  )
  SELECT d.run_id, d.task_no, d.item, CASE WHEN d.pool_id IS NULL THEN 'end' ELSE d.state END
    FROM decided d WHERE d.state <> d.was;
END $$;

-- Locks these tasks and their successors, in the one order.
CREATE FUNCTION weir.lock_tasks(run_ids int8[], task_nos int4[], items int4[], also_deferred bool) RETURNS void
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
             WHERE also_deferred OR NOT o.deferred) k
        ON t.run_id = k.run_id AND t.task_no = k.task_no AND t.item = k.item
     ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE OF t) l;
END $$;

-- Tells the successors of tasks that have ended and have not told them; for those of one generation, so that it is
-- called again with what it answers. Tasks that were told meanwhile do no harm.
CREATE FUNCTION weir.tell_successors(run_ids int8[], task_nos int4[], items int4[])
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  ended weir.ended_task[];
BEGIN
  PERFORM weir.lock_tasks(run_ids, task_nos, items, true);
  WITH told AS (
    UPDATE weir.task t SET told = true
      FROM unnest(run_ids, task_nos, items) g(run_id, task_no, item)
     WHERE t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item AND NOT t.told AND weir.has_ended(t.state)
    RETURNING t.run_id, t.task_no, t.item, t.state, t.allow_failure, t.successors, t.follow)
  SELECT array_agg(ROW(told.*)::weir.ended_task) INTO ended FROM told;
  RETURN QUERY SELECT * FROM weir.count_ended(ended);
END $$;

-- Ends attempts, as far as they are the process's still: 'success', 'failed', 'skipped', 'retry_wait' for one more attempt
-- after a delay, or 'ready' to hand it back. details: {"output", "follow", "usage", "snooze": true where it is not counted as
-- a failure}. What was cancelled meanwhile and has not ended by itself is cancelled now.
-- Answers a row for each that was accepted, state 'accepted' where its successors were told too, 'untold' where
-- weir.tell_successors() has yet to do it; and those that count_ended() answers.
CREATE FUNCTION weir.finish_tasks(worker int8, claims int8[], run_ids int8[], task_nos int4[], items int4[],
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
           coalesce((g.details ->> 'snooze')::bool, false) AS snooze
      FROM unnest(claims, run_ids, task_nos, items, states, delays_ms, errors, details)
           g(claim, run_id, task_no, item, state, delay_ms, error, details)
  ), done AS (
    UPDATE weir.task t
       SET state = CASE WHEN t.cancelled AND NOT weir.has_ended(g.state) THEN 'cancelled' ELSE g.state END,
           worker_id = NULL, claim = NULL,
           told = weir.has_ended(g.state) AND NOT t.deferred,
           failures = t.failures + (g.state = 'failed' OR g.state = 'retry_wait' AND NOT g.snooze)::int4,
           ready_at = CASE g.state WHEN 'retry_wait' THEN clock_timestamp() + g.delay_ms * interval '1 ms' ELSE t.ready_at END,
           ended_at = CASE WHEN t.cancelled OR weir.has_ended(g.state) THEN clock_timestamp() END,
           error = CASE WHEN g.snooze OR g.state = 'ready' THEN t.error ELSE g.error END,
           output = g.details -> 'output', follow = g.follow
      FROM given g
     WHERE t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item
       AND t.state = 'running' AND t.worker_id = worker AND t.claim = g.claim
    RETURNING t.*, g.details -> 'usage' AS usage, g.snooze, g.state AS given_state
  ), history AS (
    INSERT INTO weir.task_attempt (run_id, task_no, item, attempt, worker_id, ready_at, started_at, outcome, error, usage)
    SELECT d.run_id, d.task_no, d.item, d.attempt, worker, d.ready_at, d.started_at,
           CASE WHEN d.state = 'cancelled' THEN 'cancelled' WHEN d.given_state = 'retry_wait' THEN 'failed' ELSE d.given_state END,
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

-- What a claim hands out.
CREATE TYPE weir.claimed_task AS (
  run_id int8, task_no int4, item int4, attempt int4, failures int2, pipeline_id int4, version int4, pool_id int4,
  slots int4, ready_at timestamptz, logical_at timestamptz, interval_start timestamptz, interval_end timestamptz,
  params jsonb, element jsonb);

-- Up to `wanted` tasks that are ready, pool by pool from the one behind `turn_pool`. In a pool by priority, then in turns
-- between its pipelines from the one behind `turn_pipeline`, then by age. A pool with a limit is claimed from by one at
-- a time: its row is locked first, and what runs is counted by a later statement, which therefore sees all that was
-- claimed before (counted by the statement that locks, caps were broken eightfold). A pool that somebody has locked is
-- passed over: then a row without a run says that it is worth looking again.
CREATE FUNCTION weir.claim_tasks(process int8, number int8, wanted int4, turn_pool int4, turn_pipeline int4)
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
    WHILE left_over > 0 AND (room IS NULL OR room > 0) LOOP
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
               bool_or(s.durable)
          INTO taken, starts_durable FROM started s JOIN weir.run r ON r.id = s.run_id;
        EXIT WHEN taken IS NULL;
        claimed := claimed || taken;
        durable := durable OR starts_durable;
        left_over := left_over - cardinality(taken);
        room := room - (SELECT sum(t.slots) FROM unnest(taken) t);
        turn_pipeline := (SELECT t.pipeline_id FROM unnest(taken) t ORDER BY t.pipeline_id > turn_pipeline DESC, t.pipeline_id DESC LIMIT 1);
        EXIT WHEN left_over <= 0 OR room <= 0;
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

-- For a process that does not know whether its claim was carried out. As weir.return_job_claim().
CREATE FUNCTION weir.return_task_claim(process int8, number int8) RETURNS int4
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
  UPDATE weir.task t SET state = 'ready', worker_id = NULL, claim = NULL, started_at = NULL
    FROM mine m WHERE t.run_id = m.run_id AND t.task_no = m.task_no AND t.item = m.item;
  GET DIAGNOSTICS returned = ROW_COUNT;
  RETURN returned;
END $$;

-- Cuts a mapped task that runs into pieces, one for each element; without any it has succeeded. False: it is not this
-- attempt's any more. Pieces take the task's pool and priority; it has none of its own while they run.
CREATE FUNCTION weir.expand_task(worker int8, number int8, run int8, no int4, elements jsonb[], parallel int4) RETURNS bool
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
  IF t.cancelled OR n = 0 THEN
    RETURN true;
  END IF;
  INSERT INTO weir.task (run_id, task_no, item, pipeline_id, version, pool_id, slots, upstream, remaining, priority, deferred,
                         durable, allow_failure, ready_at, state, rule, successors, element)
  SELECT t.run_id, t.task_no, e.place - 1, t.pipeline_id, t.version, t.pool_id, t.slots, 0, 0, t.priority, n > 8, t.durable,
         false, CASE WHEN parallel IS NULL OR e.place <= parallel THEN clock_timestamp() END,
         CASE WHEN parallel IS NULL OR e.place <= parallel THEN 'ready' ELSE 'waiting' END, 'all_success', '{}', e.element
    FROM unnest(elements) WITH ORDINALITY e(element, place);
  RETURN true;
END $$;

-- Moves tasks whose time has come back to where they are claimed; answers how many, and the milliseconds until the next.
CREATE FUNCTION weir.promote_tasks(wanted int4, OUT promoted int4, OUT next_ms int8)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  WITH due AS MATERIALIZED (
    SELECT t.run_id, t.task_no, t.item FROM weir.task t WHERE t.state = 'retry_wait' AND t.ready_at <= clock_timestamp()
     ORDER BY t.ready_at LIMIT wanted FOR UPDATE SKIP LOCKED)
  UPDATE weir.task t SET state = 'ready'
    FROM due d WHERE t.run_id = d.run_id AND t.task_no = d.task_no AND t.item = d.item;
  GET DIAGNOSTICS promoted = ROW_COUNT;
  SELECT greatest(0, extract(epoch FROM t.ready_at - clock_timestamp()) * 1000)::int8 INTO next_ms
    FROM weir.task t WHERE t.state = 'retry_wait' ORDER BY t.ready_at LIMIT 1;
  IF promoted > 0 THEN
    PERFORM weir.wake('task', least(16, promoted));
  END IF;
END $$;

-- Takes tasks from dead processes. That their process died is not their failure, so it costs them no attempt; but what
-- has outlived its process so often may be what kills it.
CREATE FUNCTION weir.rescue_tasks(wanted int4, most_losses int4 DEFAULT 3)
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  rescued int4;
BEGIN
  RETURN QUERY
  WITH lost AS MATERIALIZED (
    SELECT t.* FROM weir.process p JOIN weir.task t ON t.worker_id = p.id AND t.state = 'running'
     WHERE p.dead ORDER BY t.run_id, t.task_no, t.item DESC LIMIT wanted FOR UPDATE OF t SKIP LOCKED
  ), back AS (
    UPDATE weir.task t
       SET state = CASE WHEN t.cancelled THEN 'cancelled' WHEN t.losses >= most_losses THEN 'failed' ELSE 'ready' END,
           worker_id = NULL, claim = NULL, losses = t.losses + 1,
           ended_at = CASE WHEN t.cancelled OR t.losses >= most_losses THEN clock_timestamp() END,
           error = CASE WHEN t.losses >= most_losses
                        THEN format('the process that ran it died, for the %sth time', t.losses + 1) ELSE t.error END
      FROM lost l WHERE t.run_id = l.run_id AND t.task_no = l.task_no AND t.item = l.item
    RETURNING t.*
  ), history AS (
    INSERT INTO weir.task_attempt (run_id, task_no, item, attempt, worker_id, ready_at, started_at, outcome, error)
    SELECT l.run_id, l.task_no, l.item, l.attempt, l.worker_id, l.ready_at, l.started_at, 'lost', 'its process died'
      FROM lost l
  )
  SELECT b.run_id, b.task_no, b.item, CASE WHEN weir.has_ended(b.state) THEN 'untold' ELSE b.state END FROM back b;
  GET DIAGNOSTICS rescued = ROW_COUNT;
  IF rescued > 0 THEN
    PERFORM weir.wake('task', least(16, rescued));
  END IF;
END $$;

-- Ended tasks whose process died before it told their successors, and ends of runs that nobody took.
CREATE FUNCTION weir.untold_tasks(older_ms int8, wanted int4) RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  (SELECT t.run_id, t.task_no, t.item, 'untold' FROM weir.task t
    WHERE NOT t.told AND t.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled')
      AND t.ended_at < clock_timestamp() - older_ms * interval '1 ms' ORDER BY t.ended_at LIMIT wanted)
  UNION ALL
  (SELECT t.run_id, t.task_no, t.item, 'end' FROM weir.task t
    WHERE t.state = 'ready' AND t.pool_id IS NULL AND t.ready_at < clock_timestamp() - older_ms * interval '1 ms' LIMIT wanted)
$$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY[
      'weir.task_verdict(text, int4, int4, int4, int4)',
      'weir.has_ended(text)',
      'weir.count_ended(weir.ended_task[])',
      'weir.lock_tasks(int8[], int4[], int4[], bool)',
      'weir.tell_successors(int8[], int4[], int4[])',
      'weir.finish_tasks(int8, int8[], int8[], int4[], int4[], text[], int8[], text[], jsonb[])',
      'weir.claim_tasks(int8, int8, int4, int4, int4)',
      'weir.return_task_claim(int8, int8)',
      'weir.expand_task(int8, int8, int8, int4, jsonb[], int4)',
      'weir.promote_tasks(int4)',
      'weir.rescue_tasks(int4, int4)',
      'weir.untold_tasks(int8, int4)']) f;

SELECT weir.apply_grants();
