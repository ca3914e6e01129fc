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
  r      weir.run;
  now_at timestamptz := clock_timestamp();
BEGIN
  SELECT * INTO r FROM weir.run u WHERE u.id = run FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  END IF;
  IF r.state = 'queued' THEN
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
           'cancelled', r.kind, r.made_by, r.params;
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

-- 3. Versions. A worker that could not read a definition, for a newer Weir has written it, failed its tasks. Now it leaves them to others,
-- and says so here.
CREATE TABLE weir.left_to_others (
  process_id  int8 NOT NULL REFERENCES weir.process (id) ON DELETE CASCADE,
  pipeline_id int4 NOT NULL,
  version     int4 NOT NULL,
  reason      text NOT NULL,
  PRIMARY KEY (process_id, pipeline_id, version)
);
COMMENT ON TABLE weir.left_to_others IS 'Versions of pipelines that a process cannot read: it works on others.';

-- As before, without the versions in `avoided`: pipeline_id << 32 | version.
DROP FUNCTION weir.claim_tasks(int8, int8, int4, int4, int4);
DELETE FROM weir.role_grant WHERE object LIKE 'weir.claim_tasks(%';
CREATE FUNCTION weir.claim_tasks(process int8, number int8, wanted int4, turn_pool int4, turn_pipeline int4, avoided int8[] DEFAULT '{}')
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
  -- Of pipelines with a version that is left to others the other versions are looked at by themselves, after all other pipelines.
  partly    int4[] := ARRAY(SELECT DISTINCT (a >> 32)::int4 FROM unnest(avoided) a);
  partly_turn bool;
  partly_seen bool;
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
      partly_turn := false;
      partly_seen := avoided = '{}';
      LOOP
        -- The pipelines that have something ready here, as many as there are tasks wanted.
        WITH RECURSIVE step AS (
          SELECT 1 AS n, coalesce(
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                       AND t.pipeline_id <> ALL (partly)
                       AND t.pipeline_id > turn_pipeline ORDER BY t.pipeline_id LIMIT 1),
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                       AND t.pipeline_id <> ALL (partly)
                     ORDER BY t.pipeline_id LIMIT 1)) AS id
          UNION ALL
          SELECT s.n + 1, coalesce(
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                       AND t.pipeline_id <> ALL (partly)
                       AND t.pipeline_id > s.id ORDER BY t.pipeline_id LIMIT 1),
                   (SELECT t.pipeline_id FROM weir.task t WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level
                       AND t.pipeline_id <> ALL (partly)
                     ORDER BY t.pipeline_id LIMIT 1))
            FROM step s WHERE s.id IS NOT NULL AND s.n < left_over)
        SELECT array_agg(DISTINCT s.id) INTO pipelines FROM step s WHERE s.id IS NOT NULL;
        IF partly_turn OR pipelines IS NULL THEN
          EXIT WHEN partly_seen;
          partly_seen := true;
          pipelines := partly;
        END IF;

        -- An equal share for each; more where that leaves some over, the next time round.
        WITH candidate AS MATERIALIZED (
          SELECT c.*, p.id > turn_pipeline AS ahead, p.id AS pipeline
            FROM unnest(pipelines) p(id) CROSS JOIN LATERAL (
              SELECT t.run_id, t.task_no, t.item, t.slots, t.ready_at FROM weir.task t
               WHERE t.state = 'ready' AND t.pool_id = pool.id AND t.priority = level AND t.pipeline_id = p.id
                 AND (avoided = '{}' OR ((t.pipeline_id::int8 << 32) | t.version) <> ALL (avoided))
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
        IF taken IS NULL THEN
          EXIT WHEN partly_seen OR full_up;
          partly_turn := true;
          CONTINUE;
        END IF;
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

-- 4. A task that waits for a pipeline looks at runs that have ended since a day before its logical time, for days that have gone by are not
-- looked through again and again. A run that somebody made for a time to come, and that was over long before it, was never seen.
CREATE TABLE weir.early_success (
  run_id      int8        PRIMARY KEY,
  pipeline_id int4        NOT NULL,
  logical_at  timestamptz NOT NULL
);
CREATE INDEX early_success_pipeline ON weir.early_success (pipeline_id, logical_at);
COMMENT ON TABLE weir.early_success IS 'Runs that succeeded more than a day before their logical time.';
INSERT INTO weir.early_success (run_id, pipeline_id, logical_at)
  SELECT d.id, d.pipeline_id, d.logical_at FROM weir.run_done d WHERE d.state = 'success' AND d.logical_at > d.ended_at + interval '1 day';

-- As before, and it says who was early.
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
    RETURNING run_done.id, run_done.pipeline_id, run_done.logical_at, run_done.state
  ), early AS (
    INSERT INTO weir.early_success (run_id, pipeline_id, logical_at)
    SELECT e.id, e.pipeline_id, e.logical_at FROM done e WHERE e.state = 'success' AND e.logical_at > now_at + interval '1 day')
  SELECT d.id, d.pipeline_id, d.state FROM done d;
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['tell_runs(int8[], int4)', 'told_later(int8[], int4[], int4[])',
                      'lock_pipeline_of(int8)', 'tasks_after(int4, int4, int4[], bool)', 'reopen_run(int8, int4[], bool)',
                      'begin_again(int8, int4[])', 'claim_tasks(int8, int8, int4, int4, int4, int8[])']) f
  UNION ALL
  SELECT 'weir_worker', 'table', 'weir.' || t, p
    FROM unnest(ARRAY['left_to_others', 'early_success']) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT' FROM unnest(ARRAY['left_to_others', 'early_success']) t;

SELECT weir.apply_grants();
