-- Pipelines, mended: who waits for whom when thousands of tasks end, and runs that are begun again and have to wait for their turn.

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
-- weir.tell_successors() stays for workers that were there before.

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
  -- What is handed back waits again, and those who sleep have not heard of it.
  IF 'ready' = ANY (states) THEN
    PERFORM weir.wake('task', least(16, cardinality(array_positions(states, 'ready'))));
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

-- 2. Turns. A run that was begun again by hand ran at once, beside as many others as its pipeline may have. Now it waits for its turn, as
-- it is, and begins with what it was begun again for.
ALTER TABLE weir.run ADD COLUMN again int4[] CHECK (again <> '{}'), ADD CHECK (again IS NULL OR state = 'queued');
COMMENT ON COLUMN weir.run.again IS 'Of a run that was begun again and waits for its turn: the tasks that it begins with. The others are as they were.';
CREATE INDEX run_again ON weir.run (pipeline_id, backfill_id) WHERE again IS NOT NULL;

-- Runs of a pipeline that have room to start, in their order. Within a transaction that has the pipeline's row. What somebody begins
-- again by hand is started also where the pipeline is paused, or no more in its project.
CREATE OR REPLACE FUNCTION weir.startable_runs(p weir.pipeline) RETURNS SETOF int8
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  open     bool := NOT p.paused AND NOT p.removed;
  backfill int8;
BEGIN
  RETURN QUERY
    SELECT q.id FROM weir.run q
     WHERE q.state = 'queued' AND q.pipeline_id = p.id AND q.backfill_id IS NULL
       AND (open OR q.again IS NOT NULL OR q.kind = 'manual' AND NOT p.removed)
     ORDER BY q.priority DESC, q.logical_at, q.id
     LIMIT greatest(0, p.max_active_runs - (SELECT count(*) FROM weir.run u WHERE u.state = 'running' AND u.pipeline_id = p.id
                                               AND u.backfill_id IS NULL));
  FOR backfill IN
    SELECT b FROM weir.waiting_backfills(p.id) b WHERE open
    UNION ALL
    SELECT DISTINCT a.backfill_id FROM weir.run a
     WHERE NOT open AND a.again IS NOT NULL AND a.pipeline_id = p.id AND a.backfill_id IS NOT NULL
  LOOP
    RETURN QUERY
      SELECT q.id FROM weir.run q
       WHERE q.state = 'queued' AND q.pipeline_id = p.id AND q.backfill_id = backfill AND (open OR q.again IS NOT NULL)
       ORDER BY q.logical_at, q.id
       LIMIT greatest(0, (SELECT b.parallel FROM weir.backfill b WHERE b.id = backfill)
                         - (SELECT count(*) FROM weir.run u WHERE u.state = 'running' AND u.pipeline_id = p.id AND u.backfill_id = backfill));
  END LOOP;
END $$;

-- Starts runs that wait, as many as the pipeline has room for; answers those it started. Backfills have a limit of their
-- own, and a paused pipeline starts only what was asked for by hand.
CREATE OR REPLACE FUNCTION weir.start_runs(pipeline int4) RETURNS SETOF int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  p     weir.pipeline;
  ids   int8[];
  fresh int8[];
  ready int8;
  begun record;
BEGIN
  SELECT * INTO p FROM weir.pipeline k WHERE k.id = pipeline FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  FOR begun IN
    WITH old AS MATERIALIZED (
      SELECT u.id, u.again FROM weir.run u WHERE u.id = ANY (ARRAY(SELECT s FROM weir.startable_runs(p) s)))
    UPDATE weir.run u SET state = 'running', started_at = coalesce(u.started_at, clock_timestamp()), again = NULL
      FROM old o WHERE u.id = o.id AND u.state = 'queued' RETURNING u.id, o.again
  LOOP
    ids := ids || begun.id;
    IF begun.again IS NULL THEN
      fresh := fresh || begun.id;
    ELSE
      PERFORM weir.reset_tasks(begun.id, begun.again);
    END IF;
  END LOOP;
  IF fresh IS NOT NULL THEN
    INSERT INTO weir.task (run_id, task_no, pipeline_id, version, pool_id, slots, upstream, remaining, priority, deferred,
                           durable, allow_failure, ready_at, state, rule, successors, produces)
    SELECT r.id, k.task_no, k.pipeline_id, k.version, k.pool_id, k.slots, k.upstream, k.upstream,
           greatest(-32768, least(32767, k.priority + r.priority)), k.deferred, k.durable, k.allow_failure,
           CASE WHEN k.upstream = 0 OR k.rule = 'always' THEN clock_timestamp() END,
           CASE WHEN k.upstream = 0 OR k.rule = 'always' THEN 'ready' ELSE 'waiting' END, k.rule, k.successors, k.produces
      FROM weir.run r JOIN weir.pipeline_task k ON k.pipeline_id = r.pipeline_id AND k.version = r.version
     WHERE r.id = ANY (fresh);
    SELECT count(*) INTO ready FROM weir.task t WHERE t.run_id = ANY (fresh) AND t.state = 'ready';
    IF ready > 0 THEN
      PERFORM weir.wake('task', least(16, ready)::int4);
    END IF;
  END IF;
  RETURN QUERY SELECT unnest(ids);
END $$;

-- Pipelines that may have a run to start: the backstop of whoever ended a run and died before he started the next one.
CREATE OR REPLACE FUNCTION weir.startable_pipelines() RETURNS SETOF int4
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  WITH RECURSIVE waiting AS (
    (SELECT least((SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NULL),
                  (SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NOT NULL)) AS id)
    UNION ALL
    SELECT least((SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NULL AND q.pipeline_id > w.id),
                 (SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NOT NULL AND q.pipeline_id > w.id))
      FROM waiting w WHERE w.id IS NOT NULL)
  SELECT p.id FROM waiting w JOIN weir.pipeline p ON p.id = w.id WHERE EXISTS (SELECT FROM weir.startable_runs(p))
$$;

-- Its pipeline, whose row is the caller's from here on; null where there is no such run any more.
CREATE FUNCTION weir.lock_pipeline_of(run int8) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_id int4;
BEGIN
  SELECT f.pipeline_id INTO found_id
    FROM (SELECT u.pipeline_id FROM weir.run u WHERE u.id = run
          UNION ALL SELECT d.pipeline_id FROM weir.run_done d WHERE d.id = run) f LIMIT 1;
  PERFORM FROM weir.pipeline k WHERE k.id = found_id FOR NO KEY UPDATE;
  RETURN found_id;
END $$;

-- These tasks of a definition, and all that come after them (`itself` false: only those). The end of the run is always one.
CREATE FUNCTION weir.tasks_after(pipeline int4, version int4, task_nos int4[], itself bool) RETURNS int4[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE below AS (
    SELECT n AS no, false AS follows FROM unnest(task_nos) n
    UNION
    SELECT s.no, true FROM below b
      JOIN weir.pipeline_task k ON k.pipeline_id = tasks_after.pipeline AND k.version = tasks_after.version AND k.task_no = b.no
     CROSS JOIN LATERAL unnest(k.successors) s(no))
  SELECT array_agg(DISTINCT b.no) FROM below b
    JOIN weir.pipeline_task k ON k.pipeline_id = tasks_after.pipeline AND k.version = tasks_after.version AND k.task_no = b.no
   WHERE itself OR b.follows
$$;

DROP FUNCTION weir.reopen_run(int8);
DELETE FROM weir.role_grant WHERE object = 'weir.reopen_run(int8)';

-- Brings a run that has ended back: its tasks are as they were, and it waits for its turn to begin with these, and with those that never had
-- one because it was cancelled before. Within a transaction that has the pipeline's row. False where it has not ended.
CREATE FUNCTION weir.reopen_run(run int8, task_nos int4[], itself bool) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d weir.run_done;
BEGIN
  IF EXISTS (SELECT FROM weir.run u WHERE u.id = run FOR UPDATE) THEN
    RETURN false;
  END IF;
  DELETE FROM weir.run_done o WHERE o.id = run RETURNING * INTO d;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  DELETE FROM weir.early_success e WHERE e.run_id = run;
  WITH back AS (
    DELETE FROM weir.task_done t WHERE t.run_id = run AND t.run_ended_at = d.ended_at RETURNING t.*)
  INSERT INTO weir.task (run_id, task_no, item, pipeline_id, version, pool_id, slots, attempt, upstream, remaining, failures,
                         priority, deferred, durable, told, allow_failure, ready_at, started_at, ended_at, state, rule,
                         successors, produces, element, output, follow, error)
  SELECT run, k.task_no, coalesce(b.item, -1), k.pipeline_id, k.version, k.pool_id, k.slots, coalesce(b.attempt, 0),
         k.upstream, 0, coalesce(b.failures, 0), k.priority, k.deferred, k.durable, k.pool_id IS NOT NULL,
         k.allow_failure AND coalesce(b.item, -1) < 0, b.ready_at, b.started_at, b.ended_at, coalesce(b.state, 'waiting'),
         k.rule, CASE WHEN b.item >= 0 THEN '{}' ELSE k.successors END, k.produces, b.element, b.output, b.follow, b.error
    FROM weir.pipeline_task k LEFT JOIN back b ON b.task_no = k.task_no
   WHERE k.pipeline_id = d.pipeline_id AND k.version = d.version;
  INSERT INTO weir.run (id, logical_at, interval_start, interval_end, created_at, started_at, backfill_id, pipeline_id, version,
                        priority, state, kind, made_by, params, again)
  VALUES (d.id, d.logical_at, d.interval_start, d.interval_end, d.created_at, d.started_at, d.backfill_id, d.pipeline_id, d.version,
          d.priority, 'queued', d.kind, d.made_by, d.params,
          ARRAY(SELECT unnest(weir.tasks_after(d.pipeline_id, d.version, task_nos, itself))
                UNION SELECT t.task_no FROM weir.task t WHERE t.run_id = run AND t.state = 'waiting' AND t.pool_id IS NOT NULL));
  RETURN true;
END $$;

-- Has tasks of a run done once more, with all that comes after them; without any, all of it. One that runs is not begun again. One that
-- has ended waits for its turn, and begins then. Answers how many tasks; null where there is no such run any more.
CREATE FUNCTION weir.begin_again(run int8, task_nos int4[]) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pipeline int4 := weir.lock_pipeline_of(run);
  r        weir.run;
  v        int4;
  tasks    int4[];
BEGIN
  SELECT * INTO r FROM weir.run u WHERE u.id = run FOR UPDATE;
  v := coalesce(r.version, (SELECT d.version FROM weir.run_done d WHERE d.id = run));
  IF v IS NULL THEN
    RETURN NULL;
  END IF;
  IF cardinality(task_nos) = 0 THEN
    task_nos := ARRAY(SELECT k.task_no FROM weir.pipeline_task k WHERE k.pipeline_id = pipeline AND k.version = v);
  END IF;
  tasks := weir.tasks_after(pipeline, v, task_nos, true);
  IF tasks IS NULL THEN
    RAISE EXCEPTION 'run % has none of these tasks', run USING ERRCODE = 'no_data_found';
  END IF;
  IF r.state = 'running' THEN
    RETURN weir.reset_tasks(run, task_nos);
  ELSIF r.id IS NOT NULL AND r.again IS NULL THEN
    RAISE EXCEPTION 'run % waits for its turn: nothing of it has begun', run USING ERRCODE = 'no_data_found';
  ELSIF r.id IS NOT NULL THEN
    UPDATE weir.run u SET again = ARRAY(SELECT unnest(u.again) UNION SELECT unnest(tasks)) WHERE u.id = run;
  ELSIF NOT weir.reopen_run(run, task_nos, true) THEN
    RETURN NULL;
  END IF;
  PERFORM weir.start_runs(pipeline);
  RETURN (SELECT count(*) FROM weir.pipeline_task k
           WHERE k.pipeline_id = pipeline AND k.version = v AND k.pool_id IS NOT NULL AND k.task_no = ANY (tasks));
END $$;

-- Says what became of a task, whatever it was about to do: a running one is fenced off, and what comes after it is done
-- anew by the new state: of a run that has ended, when it has its turn. Where nothing comes after it, at once.
CREATE OR REPLACE FUNCTION weir.mark_task(run int8, no int4, becomes text) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  pipeline int4 := weir.lock_pipeline_of(run);
  r        weir.run;
  owners   int8[];
BEGIN
  SELECT * INTO r FROM weir.run u WHERE u.id = run FOR UPDATE;
  IF no = ANY (weir.tasks_after(r.pipeline_id, r.version, array_remove(r.again, no), false)) THEN
    RAISE EXCEPTION 'a task before it begins again when run % has its turn, and it with that', run
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Mark it when the run has begun again.';
  END IF;
  IF becomes NOT IN ('success', 'failed', 'skipped') THEN
    RAISE EXCEPTION 'a task is marked success, failed or skipped, not %', becomes USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM weir.reopen_run(run, ARRAY[no], false);
  SELECT * INTO r FROM weir.run u WHERE u.id = run FOR UPDATE;
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
  IF r.state = 'queued' THEN
    r.again := ARRAY(SELECT a FROM (SELECT unnest(r.again) UNION SELECT unnest(weir.tasks_after(r.pipeline_id, r.version, ARRAY[no], false)))
                                    o(a) WHERE a <> no ORDER BY a);
    IF EXISTS (SELECT FROM weir.task t WHERE t.run_id = run AND t.task_no = ANY (r.again) AND t.pool_id IS NOT NULL) THEN
      UPDATE weir.run u SET again = r.again WHERE u.id = run;
      PERFORM weir.start_runs(pipeline);
      RETURN (SELECT count(*) FROM weir.pipeline_task k
               WHERE k.pipeline_id = r.pipeline_id AND k.version = r.version AND k.pool_id IS NOT NULL
                 AND k.task_no = ANY (weir.tasks_after(r.pipeline_id, r.version, ARRAY[no], false)));
    END IF;
    -- It only ends: that needs no room.
    UPDATE weir.run u SET again = NULL, state = 'running' WHERE u.id = run;
  END IF;
  RETURN weir.reset_tasks(run, ARRAY[no], false);
END $$;

-- As before; what waits for its turn to begin again goes back to history with what it had.
CREATE OR REPLACE FUNCTION weir.cancel_run(run int8) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  r       weir.run;
  now_at  timestamptz := clock_timestamp();
  becomes text := 'cancelled';
BEGIN
  SELECT * INTO r FROM weir.run u WHERE u.id = run FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  END IF;
  IF r.state = 'queued' THEN
    IF r.again IS NOT NULL THEN
      SELECT CASE WHEN bool_or(t.state = 'cancelled' OR NOT weir.has_ended(t.state)) THEN 'cancelled'
                  WHEN bool_or(t.state IN ('failed', 'upstream_failed') AND NOT t.allow_failure) THEN 'failed' ELSE 'success' END
        INTO becomes FROM weir.task t WHERE t.run_id = run AND t.item < 0 AND t.pool_id IS NOT NULL;
    END IF;
    IF becomes = 'success' AND r.logical_at > now_at + interval '24 hours' THEN
      INSERT INTO weir.early_success (run_id, pipeline_id, logical_at) VALUES (run, r.pipeline_id, r.logical_at);
    END IF;
    WITH ended AS MATERIALIZED (
      DELETE FROM weir.task t WHERE t.run_id = run RETURNING t.*
    ), history AS (
      INSERT INTO weir.task_done (run_id, run_ended_at, task_no, item, attempt, failures, ready_at, started_at, ended_at, state,
                                  element, output, follow, error)
      SELECT e.run_id, now_at, e.task_no, e.item, e.attempt, e.failures, e.ready_at, e.started_at, e.ended_at, e.state,
             e.element, e.output, e.follow, e.error
        FROM ended e WHERE e.pool_id IS NOT NULL AND weir.has_ended(e.state)
    ), gone AS (
      DELETE FROM weir.run u WHERE u.id = run
    )
    INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, started_at, backfill_id, pipeline_id,
                               version, priority, tasks, state, kind, made_by, params)
    SELECT r.id, now_at, r.logical_at, r.interval_start, r.interval_end, r.created_at, r.started_at, r.backfill_id,
           r.pipeline_id, r.version, r.priority,
           (SELECT count(*) FROM ended e WHERE e.item < 0 AND e.pool_id IS NOT NULL AND weir.has_ended(e.state)),
           becomes, r.kind, r.made_by, r.params;
    RETURN 'cancelled';
  END IF;
  UPDATE weir.run u SET cancelled = true WHERE u.id = run;
  PERFORM FROM (SELECT FROM weir.task t WHERE t.run_id = run ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE) l;
  UPDATE weir.task t
     SET state = CASE WHEN t.state IN ('running', 'mapped') THEN t.state ELSE 'cancelled' END, cancelled = true,
         ended_at = CASE WHEN t.state IN ('running', 'mapped') THEN NULL ELSE clock_timestamp() END
   WHERE t.run_id = run AND t.pool_id IS NOT NULL AND NOT weir.has_ended(t.state);
  PERFORM pg_notify('weir_' || w.worker_id, 'cancel')
     FROM (SELECT DISTINCT t.worker_id FROM weir.task t WHERE t.run_id = run AND t.state = 'running') w;
  RETURN 'stopping';
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['tell_runs(int8[], int4)', 'told_later(int8[], int4[], int4[])',
                      'lock_pipeline_of(int8)', 'tasks_after(int4, int4, int4[], bool)', 'reopen_run(int8, int4[], bool)',
                      'begin_again(int8, int4[])']) f;

SELECT weir.apply_grants();
