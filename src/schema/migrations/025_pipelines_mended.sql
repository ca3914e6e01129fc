-- Pipelines, mended: who waits for whom when thousands of tasks end, runs that are begun again and have to wait for their turn, workers
-- that cannot read a definition, and runs that were made long before their time.

-- 1. Telling. Whoever had tasks that had ended and were not told locked their successor, and others who had some of the same run
-- queued for that row: 8 processes waited for up to 0.2 s. Now one of them tells for all, and the others go on.

-- By run: who tells one looks for all that others leave to him.
DROP INDEX weir.task_untold;
CREATE INDEX task_untold ON weir.task (run_id, ended_at)
  WHERE NOT told AND state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled');

-- Tells the successors of ended tasks that have not told them, up to `most`, and of one generation. A run that another one tells just now
-- is left to him; so whoever told something calls again, with what this answers, until it answers nothing for him to tell: what was
-- left to him meanwhile was committed before.
CREATE FUNCTION weir.tell_runs(run_ids int8[], most int4)
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  run   int8;
  mine  int8[];
  runs  int8[];
  nos   int4[];
  items int4[];
  ended weir.ended_task[];
BEGIN
  FOR run IN SELECT DISTINCT r FROM unnest(run_ids) r ORDER BY r LOOP
    -- In this order: who finds nothing holds nothing, and whoever was turned away by us finds us looking again.
    IF EXISTS (SELECT FROM weir.task t WHERE t.run_id = run AND NOT t.told
                  AND t.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled'))
       AND pg_try_advisory_xact_lock(hashtextextended('weir.tell:' || run, 0)) THEN
      mine := mine || run;
    END IF;
  END LOOP;
  IF mine IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY SELECT m, -1, -1, 'untold' FROM unnest(mine) m;
  SELECT array_agg(u.run_id), array_agg(u.task_no), array_agg(u.item) INTO runs, nos, items
    FROM (SELECT t.run_id, t.task_no, t.item FROM unnest(mine) m JOIN weir.task t ON t.run_id = m
           WHERE NOT t.told AND t.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled') LIMIT most) u;
  IF runs IS NULL THEN
    RETURN;
  END IF;
  PERFORM weir.lock_tasks(runs, nos, items, true);
  WITH told AS (
    UPDATE weir.task t SET told = true
      FROM unnest(runs, nos, items) g(run_id, task_no, item)
     WHERE t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item AND NOT t.told AND weir.has_ended(t.state)
    RETURNING t.run_id, t.task_no, t.item, t.state, t.allow_failure, t.successors, t.follow)
  SELECT array_agg(ROW(told.*)::weir.ended_task) INTO ended FROM told;
  RETURN QUERY SELECT * FROM weir.count_ended(ended);
END $$;
DROP FUNCTION weir.tell_successors(int8[], int4[], int4[]);
DELETE FROM weir.role_grant WHERE object LIKE 'weir.tell_successors(%';

-- Which of these attempts, by their place, cannot tell their successors now: somebody else is at one of them, perhaps in a
-- transaction of a user that has yet to be committed. They are told afterwards. The rows of all others are locked by this, in the one order
-- and without waiting; for each piece that ends also one that waits for its place, or nobody would ever begin it.
CREATE FUNCTION weir.told_later(run_ids int8[], task_nos int4[], items int4[]) RETURNS int8[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  RETURN (
    WITH own AS MATERIALIZED (
      SELECT g.place, o.run_id, o.task_no, o.item, o.successors
        FROM unnest(run_ids, task_nos, items) WITH ORDINALITY g(run_id, task_no, item, place)
        JOIN weir.task o ON o.run_id = g.run_id AND o.task_no = g.task_no AND o.item = g.item
       WHERE NOT o.deferred
    ), wanted AS MATERIALIZED (
      SELECT w.place, w.run_id, s.no AS task_no, -1 AS item
        FROM own w CROSS JOIN LATERAL unnest(CASE WHEN w.item >= 0 THEN ARRAY[w.task_no] ELSE w.successors END) s(no)
      UNION ALL
      SELECT e.place, e.run_id, e.task_no, w.item
        FROM (SELECT o.run_id, o.task_no, o.place, count(*) OVER (PARTITION BY o.run_id, o.task_no) AS n FROM own o WHERE o.item >= 0) e
        JOIN weir.task m ON m.run_id = e.run_id AND m.task_no = e.task_no AND m.item = -1 AND m.max_parallel IS NOT NULL
       CROSS JOIN LATERAL (SELECT h.item FROM weir.task h
                            WHERE h.run_id = e.run_id AND h.task_no = e.task_no AND h.item >= 0 AND h.state = 'waiting'
                            ORDER BY h.item LIMIT e.n) w
    ), held AS MATERIALIZED (
      SELECT t.run_id, t.task_no, t.item FROM weir.task t
        JOIN (SELECT DISTINCT w.run_id, w.task_no, w.item FROM wanted w) k
          ON t.run_id = k.run_id AND t.task_no = k.task_no AND t.item = k.item
       ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE OF t SKIP LOCKED
    ), missing AS MATERIALIZED (
      SELECT w.run_id, w.task_no, w.item FROM wanted w EXCEPT SELECT h.run_id, h.task_no, h.item FROM held h)
    SELECT array_agg(DISTINCT w.place) FROM missing m
      JOIN wanted w ON w.run_id = m.run_id AND w.task_no = m.task_no AND w.item = m.item);
END $$;

-- As before, but it waits for nobody's successors: those of whom somebody else has one are told afterwards.
CREATE OR REPLACE FUNCTION weir.finish_tasks(worker int8, claims int8[], run_ids int8[], task_nos int4[], items int4[],
                                  states text[], delays_ms int8[], errors text[], details jsonb[])
RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  ended weir.ended_task[];
  later int8[];
BEGIN
  PERFORM FROM (
    SELECT FROM unnest(run_ids, task_nos, items) g(run_id, task_no, item)
      JOIN weir.task t ON t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item
     ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE OF t) l;
  later := weir.told_later(run_ids, task_nos, items);
  WITH given AS (
    SELECT g.*, CASE WHEN g.details ? 'follow' THEN ARRAY(SELECT jsonb_array_elements_text(g.details -> 'follow')::int4) END AS follow,
           coalesce((g.details ->> 'snooze')::bool, false) AS snooze, coalesce((g.details ->> 'lost')::bool, false) AS lost
      FROM unnest(claims, run_ids, task_nos, items, states, delays_ms, errors, details)
           WITH ORDINALITY g(claim, run_id, task_no, item, state, delay_ms, error, details, place)
  ), own AS MATERIALIZED (
    SELECT g.*, CASE WHEN t.cancelled AND NOT weir.has_ended(g.state) THEN 'cancelled'
                     WHEN g.lost AND t.losses >= 3 THEN 'failed' ELSE g.state END AS becomes
      FROM given g JOIN weir.task t ON t.run_id = g.run_id AND t.task_no = g.task_no AND t.item = g.item
       AND t.state = 'running' AND t.worker_id = worker AND t.claim = g.claim
  ), done AS (
    UPDATE weir.task t
       SET state = g.becomes, worker_id = NULL, claim = NULL,
           told = weir.has_ended(g.becomes) AND NOT t.deferred AND (later IS NULL OR g.place <> ALL (later)),
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

-- Ended tasks whose process died before it told their successors, and ends of runs that nobody took.
CREATE OR REPLACE FUNCTION weir.untold_tasks(older_ms int8, wanted int4) RETURNS TABLE (run_id int8, task_no int4, item int4, state text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  (SELECT t.run_id, t.task_no, t.item, 'untold' FROM weir.task t
    WHERE NOT t.told AND t.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled')
      AND t.ended_at < clock_timestamp() - older_ms * interval '1 ms' LIMIT wanted)
  UNION ALL
  (SELECT t.run_id, t.task_no, t.item, 'end' FROM weir.task t
    WHERE t.state = 'ready' AND t.pool_id IS NULL AND t.ready_at < clock_timestamp() - older_ms * interval '1 ms' LIMIT wanted)
$$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['tell_runs(int8[], int4)', 'told_later(int8[], int4[], int4[])']) f;

SELECT weir.apply_grants();
