-- Pipelines, mended: workers that cannot read a definition, and runs that were made long before their time.

-- 1. Versions. A worker that could not read a definition, for a newer Weir has written it, failed its tasks. Now it leaves them to others,
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

-- As before, but of two who sleep the one may be the other's only hope: who has left something to others is woken and does not count.
CREATE OR REPLACE FUNCTION weir.wake_with(topic text, wanted int4, message text) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sleeper int8;
  woken   int4 := 0;
BEGIN
  IF NOT weir.is_held(weir.sleep_key(topic)) THEN
    RETURN 0;
  END IF;
  FOR sleeper IN
    SELECT l.process_id FROM weir.listener l WHERE l.topic = wake_with.topic ORDER BY random()
  LOOP
    IF weir.is_held(weir.sleep_key(topic, sleeper)) THEN
      PERFORM pg_notify('weir_' || sleeper, message);
      -- By its own statement: who wakes for jobs need not be allowed to read the table.
      IF topic = 'task' THEN
        CONTINUE WHEN EXISTS (SELECT FROM weir.left_to_others x WHERE x.process_id = sleeper);
      END IF;
      woken := woken + 1;
      EXIT WHEN woken >= wanted;
    END IF;
  END LOOP;
  IF woken = 0 AND current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM pg_notify('weir_all', message);
    RETURN 1;
  END IF;
  RETURN woken;
END $$;

-- 2. A task that waits for a pipeline looks at runs that have ended since a day before its logical time, for days that have gone by are not
-- looked through again and again. A run that somebody made for a time to come, and that was over long before it, was never seen.
CREATE TABLE weir.early_success (
  run_id      int8        PRIMARY KEY,
  pipeline_id int4        NOT NULL,
  logical_at  timestamptz NOT NULL
);
CREATE INDEX early_success_pipeline ON weir.early_success (pipeline_id, logical_at);
COMMENT ON TABLE weir.early_success IS 'Runs that succeeded more than a day before their logical time.';
INSERT INTO weir.early_success (run_id, pipeline_id, logical_at)
  SELECT d.id, d.pipeline_id, d.logical_at FROM weir.run_done d WHERE d.state = 'success' AND d.logical_at > d.ended_at + interval '24 hours';

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
    SELECT e.id, e.pipeline_id, e.logical_at FROM done e WHERE e.state = 'success' AND e.logical_at > now_at + interval '24 hours')
  SELECT d.id, d.pipeline_id, d.state FROM done d;
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.claim_tasks(int8, int8, int4, int4, int4, int8[])', 'EXECUTE'
  UNION ALL
  SELECT 'weir_worker', 'table', 'weir.' || t, p
    FROM unnest(ARRAY['left_to_others', 'early_success']) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT' FROM unnest(ARRAY['left_to_others', 'early_success']) t;

SELECT weir.apply_grants();
