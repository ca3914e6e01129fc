-- Runs: made, started when there is room, ended, cancelled, begun again. Whoever makes or starts runs of a pipeline locks
-- its row first, so that counts of its runs hold.

CREATE TABLE weir.backfill (
  id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pipeline_id int4        NOT NULL,
  parallel    int4        NOT NULL CHECK (parallel > 0),
  made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  from_at     timestamptz NOT NULL,
  to_at       timestamptz NOT NULL,
  runs        int4        NOT NULL
);
COMMENT ON TABLE weir.backfill IS 'Ranges of logical times that were asked for; its runs have a limit of their own.';

-- Answers null where the pipeline has a run of the kind for that time, living or ended. The caller's transaction holds
-- the pipeline's row from here on.
CREATE FUNCTION weir.create_run(pipeline int4, kind text, logical_at timestamptz, interval_start timestamptz,
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
  IF EXISTS (SELECT FROM weir.run_done d
              WHERE d.pipeline_id = p.id AND d.logical_at = create_run.logical_at AND d.kind = create_run.kind) THEN
    RETURN NULL;
  END IF;
  INSERT INTO weir.run (pipeline_id, version, kind, logical_at, interval_start, interval_end, params, priority, late_at,
                        backfill_id, state)
  VALUES (p.id, p.version, create_run.kind, create_run.logical_at, create_run.interval_start, create_run.interval_end,
          create_run.params, create_run.priority, create_run.late_at, backfill, 'queued')
  ON CONFLICT ON CONSTRAINT run_pipeline_id_logical_at_kind_key DO NOTHING
  RETURNING run.id INTO new_id;
  RETURN new_id;
END $$;

-- Backfills of a pipeline that have runs waiting; one look into the index for each.
CREATE FUNCTION weir.waiting_backfills(pipeline int4) RETURNS SETOF int8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  WITH RECURSIVE step AS (
    (SELECT q.backfill_id AS id FROM weir.run q
      WHERE q.state = 'queued' AND q.pipeline_id = pipeline AND q.backfill_id IS NOT NULL ORDER BY q.backfill_id LIMIT 1)
    UNION ALL
    SELECT (SELECT q.backfill_id FROM weir.run q
             WHERE q.state = 'queued' AND q.pipeline_id = pipeline AND q.backfill_id > s.id ORDER BY q.backfill_id LIMIT 1)
      FROM step s WHERE s.id IS NOT NULL)
  SELECT s.id FROM step s WHERE s.id IS NOT NULL
$$;

-- Runs of a pipeline that have room to start, in their order. Within a transaction that has the pipeline's row.
CREATE FUNCTION weir.startable_runs(p weir.pipeline) RETURNS SETOF int8
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  backfill int8;
BEGIN
  RETURN QUERY
    SELECT q.id FROM weir.run q
     WHERE q.state = 'queued' AND q.pipeline_id = p.id AND q.backfill_id IS NULL AND (NOT p.paused OR q.kind = 'manual')
     ORDER BY q.priority DESC, q.logical_at, q.id
     LIMIT greatest(0, p.max_active_runs - (SELECT count(*) FROM weir.run u WHERE u.state = 'running' AND u.pipeline_id = p.id
                                               AND u.backfill_id IS NULL));
  IF NOT p.paused THEN
    FOR backfill IN SELECT b FROM weir.waiting_backfills(p.id) b LOOP
      RETURN QUERY
        SELECT q.id FROM weir.run q
         WHERE q.state = 'queued' AND q.pipeline_id = p.id AND q.backfill_id = backfill
         ORDER BY q.logical_at, q.id
         LIMIT greatest(0, (SELECT b.parallel FROM weir.backfill b WHERE b.id = backfill)
                           - (SELECT count(*) FROM weir.run u WHERE u.state = 'running' AND u.pipeline_id = p.id AND u.backfill_id = backfill));
    END LOOP;
  END IF;
END $$;

-- Starts runs that wait, as many as the pipeline has room for; answers those it started. Backfills have a limit of their
-- own, and a paused pipeline starts only what was asked for by hand.
CREATE FUNCTION weir.start_runs(pipeline int4) RETURNS SETOF int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  p     weir.pipeline;
  ids   int8[];
  ready int8;
BEGIN
  SELECT * INTO p FROM weir.pipeline k WHERE k.id = pipeline FOR NO KEY UPDATE;
  IF NOT FOUND OR p.removed THEN
    RETURN;
  END IF;
  WITH started AS (
    UPDATE weir.run u SET state = 'running', started_at = clock_timestamp()
     WHERE u.id = ANY (ARRAY(SELECT s FROM weir.startable_runs(p) s)) AND u.state = 'queued' RETURNING u.id)
  SELECT array_agg(s.id) INTO ids FROM started s;
  IF ids IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO weir.task (run_id, task_no, pipeline_id, version, pool_id, slots, upstream, remaining, priority, deferred,
                         durable, allow_failure, ready_at, state, rule, successors, produces)
  SELECT r.id, k.task_no, k.pipeline_id, k.version, k.pool_id, k.slots, k.upstream, k.upstream,
         greatest(-32768, least(32767, k.priority + r.priority)), k.deferred, k.durable, k.allow_failure,
         CASE WHEN k.upstream = 0 OR k.rule = 'always' THEN clock_timestamp() END,
         CASE WHEN k.upstream = 0 OR k.rule = 'always' THEN 'ready' ELSE 'waiting' END, k.rule, k.successors, k.produces
    FROM weir.run r JOIN weir.pipeline_task k ON k.pipeline_id = r.pipeline_id AND k.version = r.version
   WHERE r.id = ANY (ids);
  SELECT count(*) INTO ready FROM weir.task t WHERE t.run_id = ANY (ids) AND t.state = 'ready';
  IF ready > 0 THEN
    PERFORM weir.wake('task', least(16, ready)::int4);
  END IF;
  RETURN QUERY SELECT unnest(ids);
END $$;

-- Pipelines that may have a run to start: the backstop of whoever ended a run and died before he started the next one.
CREATE FUNCTION weir.startable_pipelines() RETURNS SETOF int4
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  WITH RECURSIVE waiting AS (
    (SELECT least((SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NULL),
                  (SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NOT NULL)) AS id)
    UNION ALL
    SELECT least((SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NULL AND q.pipeline_id > w.id),
                 (SELECT min(q.pipeline_id) FROM weir.run q WHERE q.state = 'queued' AND q.backfill_id IS NOT NULL AND q.pipeline_id > w.id))
      FROM waiting w WHERE w.id IS NOT NULL)
  SELECT p.id FROM waiting w JOIN weir.pipeline p ON p.id = w.id
   WHERE NOT p.removed AND EXISTS (SELECT FROM weir.startable_runs(p))
$$;

-- Ends runs whose tasks have all ended: they become history. Answers whose pipelines may start another one.
CREATE FUNCTION weir.end_runs(run_ids int8[]) RETURNS TABLE (run_id int8, pipeline_id int4, state text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
DECLARE
  now_at timestamptz := clock_timestamp();
  ids    int8[];
BEGIN
  SELECT array_agg(l.id) INTO ids FROM (
    SELECT r.id FROM weir.run r WHERE r.id = ANY (run_ids) AND r.state = 'running'
       AND EXISTS (SELECT FROM weir.task e WHERE e.run_id = r.id AND e.pool_id IS NULL AND e.state = 'ready')
       AND NOT EXISTS (SELECT FROM weir.task e WHERE e.run_id = r.id AND e.pool_id IS NOT NULL AND NOT weir.has_ended(e.state))
     ORDER BY r.id FOR UPDATE SKIP LOCKED) l;
  IF ids IS NULL THEN
    RETURN;
  END IF;
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

-- Ends a run that waits; asks for the end of one that runs: what has not begun is cancelled now, what runs is told to
-- stop. Answers 'cancelled', 'stopping', or 'missing'.
CREATE FUNCTION weir.cancel_run(run int8) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  r weir.run;
BEGIN
  SELECT * INTO r FROM weir.run u WHERE u.id = run FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 'missing';
  END IF;
  IF r.state = 'queued' THEN
    DELETE FROM weir.run u WHERE u.id = run;
    INSERT INTO weir.run_done (id, ended_at, logical_at, interval_start, interval_end, created_at, backfill_id, pipeline_id,
                               version, priority, tasks, state, kind, made_by, params)
    VALUES (r.id, clock_timestamp(), r.logical_at, r.interval_start, r.interval_end, r.created_at, r.backfill_id,
            r.pipeline_id, r.version, r.priority, 0, 'cancelled', r.kind, r.made_by, r.params);
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

-- Brings a run that has ended back to life, as it was; false where there is no such run any more. A living one stays.
CREATE FUNCTION weir.reopen_run(run int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d weir.run_done;
BEGIN
  IF EXISTS (SELECT FROM weir.run u WHERE u.id = run FOR UPDATE) THEN
    RETURN true;
  END IF;
  DELETE FROM weir.run_done o WHERE o.id = run RETURNING * INTO d;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO weir.run (id, logical_at, interval_start, interval_end, created_at, started_at, backfill_id, pipeline_id, version,
                        priority, state, kind, made_by, params)
  VALUES (d.id, d.logical_at, d.interval_start, d.interval_end, d.created_at, coalesce(d.started_at, clock_timestamp()),
          d.backfill_id, d.pipeline_id, d.version, d.priority, 'running', d.kind, d.made_by, d.params);
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
  RETURN true;
END $$;

-- Has tasks of a living run done once more, with all that comes after them (`itself` false: only what comes after). Refuses
-- while one of them runs. Answers how many.
CREATE FUNCTION weir.reset_tasks(run int8, task_nos int4[], itself bool DEFAULT true) RETURNS int4
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
  PERFORM FROM (SELECT FROM weir.task t WHERE t.run_id = run ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE) l;
  WITH RECURSIVE below AS (
    SELECT n AS no, false AS follows FROM unnest(task_nos) n
    UNION
    SELECT s.no, true FROM below b JOIN weir.task t ON t.run_id = run AND t.task_no = b.no AND t.item = -1
     CROSS JOIN LATERAL unnest(t.successors) s(no))
  SELECT array_agg(DISTINCT b.no) INTO again FROM below b WHERE itself OR b.follows;
  IF again IS NULL THEN
    RETURN 0;
  END IF;
  SELECT k.name INTO busy FROM weir.task t JOIN weir.pipeline_task k USING (pipeline_id, version, task_no)
   WHERE t.run_id = run AND t.task_no = ANY (again) AND t.state IN ('running', 'mapped') AND (t.state = 'running' OR t.remaining > 0)
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'task % of run % is running', busy, run USING ERRCODE = 'object_in_use';
  END IF;
  UPDATE weir.run u SET cancelled = false WHERE u.id = run;
  DELETE FROM weir.task t WHERE t.run_id = run AND t.task_no = ANY (again) AND t.item >= 0;
  -- As if they had never been: counted anew is what has ended before them and stays.
  UPDATE weir.task t
     SET state = 'waiting', told = false, cancelled = false, passed_over = c.passed_over, failures = 0, losses = 0, ready_at = NULL, started_at = NULL,
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
CREATE FUNCTION weir.mark_task(run int8, no int4, becomes text) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  owner int8;
BEGIN
  IF becomes NOT IN ('success', 'failed', 'skipped') THEN
    RAISE EXCEPTION 'a task is marked success, failed or skipped, not %', becomes USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM FROM weir.run u WHERE u.id = run FOR UPDATE;
  PERFORM FROM (SELECT FROM weir.task t WHERE t.run_id = run ORDER BY t.run_id, t.task_no, t.item DESC FOR UPDATE) l;
  SELECT t.worker_id INTO owner FROM weir.task t WHERE t.run_id = run AND t.task_no = no AND t.item = -1;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'run % has no such task', run USING ERRCODE = 'no_data_found';
  END IF;
  DELETE FROM weir.task t WHERE t.run_id = run AND t.task_no = no AND t.item >= 0;
  UPDATE weir.task t SET state = becomes, told = true, worker_id = NULL, claim = NULL, ended_at = clock_timestamp(),
                         attempt = t.attempt + 1, remaining = 0, error = CASE WHEN becomes = 'failed' THEN 'marked failed by hand' END
   WHERE t.run_id = run AND t.task_no = no AND t.item = -1;
  IF owner IS NOT NULL THEN
    PERFORM pg_notify('weir_' || owner, 'cancel');
  END IF;
  RETURN weir.reset_tasks(run, ARRAY[no], false);
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'table', 'weir.backfill', p FROM unnest(ARRAY['SELECT', 'INSERT']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.backfill', 'SELECT'
  UNION ALL
  SELECT 'weir_worker', 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY[
      'weir.create_run(int4, text, timestamptz, timestamptz, timestamptz, jsonb, int4, timestamptz, int8)',
      'weir.waiting_backfills(int4)',
      'weir.startable_runs(weir.pipeline)',
      'weir.start_runs(int4)',
      'weir.startable_pipelines()',
      'weir.end_runs(int8[])',
      'weir.cancel_run(int8)',
      'weir.reopen_run(int8)',
      'weir.reset_tasks(int8, int4[], bool)',
      'weir.mark_task(int8, int4, text)']) f;

SELECT weir.apply_grants();
