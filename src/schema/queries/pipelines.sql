-- Definitions of pipelines, as they are deployed. See migrations/012_pipelines.sql.

-- name: lock_deployments() -> (locked bool)
-- One at a time, until its transaction ends: they lock rows in orders of their own.
SELECT pg_advisory_xact_lock(hashtextextended('weir.deploy', 0)) IS NULL AS locked;

-- name: set_pool(name text, slots int4?)
-- A pool that stays as it is is not locked: nobody could claim from it until the deployment ends.
WITH changed AS (
  UPDATE weir.pool p SET slots = :slots WHERE p.name = :name AND p.slots IS DISTINCT FROM :slots)
INSERT INTO weir.pool (name, slots) SELECT :name, :slots WHERE NOT EXISTS (SELECT FROM weir.pool p WHERE p.name = :name)
ON CONFLICT DO NOTHING;

-- name: stored_pools(project text) -> (name text, slots int4?, of_others bool)
-- of_others: tasks of another project are in it.
SELECT o.name, o.slots,
       EXISTS (SELECT FROM weir.pipeline p JOIN weir.pipeline_task t ON t.pipeline_id = p.id AND t.version = p.version
                WHERE t.pool_id = o.id AND p.project <> :project AND NOT p.removed) AS of_others
  FROM weir.pool o ORDER BY o.name;

-- name: make_pipeline(name text, project text) -> (id int4, project text, version int4, next_at timestamptz?, removed bool)
-- Locked from here on. project: whose it is, which may be somebody else's.
INSERT INTO weir.pipeline AS p (name, project) VALUES (:name, :project)
ON CONFLICT (name) DO UPDATE SET project = CASE WHEN p.removed THEN excluded.project ELSE p.project END
RETURNING p.id, p.project, p.version, p.next_at, p.removed;

-- name: pipeline_hash(pipeline int4, version int4) -> (hash text, definition jsonb)
SELECT v.hash, v.definition FROM weir.pipeline_version v WHERE v.pipeline_id = :pipeline AND v.version = :version;

-- name: add_pipeline_version(pipeline int4, hash text, definition jsonb) -> (version int4)
INSERT INTO weir.pipeline_version (pipeline_id, version, hash, definition)
SELECT :pipeline, coalesce(max(v.version), 0) + 1, :hash, :definition FROM weir.pipeline_version v WHERE v.pipeline_id = :pipeline
RETURNING version;

-- name: add_pipeline_tasks(pipeline int4, version int4, names text[], pools text?[], slots int4[], upstream int4[],
--   priorities int4[], deferred bool[], durable bool[], allow_failure bool[], rules text[], successors text[], produces text?[])
-- successors and produces: arrays as PostgreSQL writes them.
INSERT INTO weir.pipeline_task (pipeline_id, version, task_no, name, pool_id, slots, upstream, priority, deferred, durable,
                                allow_failure, rule, successors, produces)
SELECT :pipeline, :version, t.place - 1, t.name, (SELECT p.id FROM weir.pool p WHERE p.name = t.pool), t.slots, t.upstream, t.priority,
       t.deferred, t.durable, t.allow_failure, t.rule, t.successors::int4[], t.produces::text[]
  FROM unnest(:names::text[], :pools::text[], :slots::int4[], :upstream::int4[], :priorities::int4[], :deferred::bool[],
              :durable::bool[], :allow_failure::bool[], :rules::text[], :successors::text[], :produces::text[])
       WITH ORDINALITY t(name, pool, slots, upstream, priority, deferred, durable, allow_failure, rule, successors, produces,
                         place);

-- name: use_pipeline_version(pipeline int4, version int4, max_active_runs int4)
UPDATE weir.pipeline SET version = :version, max_active_runs = :max_active_runs, removed = false WHERE id = :pipeline;

-- name: set_pipeline_datasets(pipeline int4, datasets text[])
WITH gone AS (
  DELETE FROM weir.pipeline_dataset d WHERE d.pipeline_id = :pipeline AND d.dataset <> ALL (:datasets::text[])),
forgotten AS (
  DELETE FROM weir.dataset_update u WHERE u.pipeline_id = :pipeline AND u.dataset <> ALL (:datasets::text[]))
INSERT INTO weir.pipeline_dataset (dataset, pipeline_id) SELECT d, :pipeline FROM unnest(:datasets::text[]) d
ON CONFLICT DO NOTHING;

-- name: remove_pipelines(project text, kept text[]) -> (name text)
UPDATE weir.pipeline SET removed = true, next_at = NULL
 WHERE project = :project AND NOT removed AND name <> ALL (:kept::text[]) RETURNING name;

-- name: set_run_history(keep_days int4)
UPDATE weir.run_history SET keep_days = :keep_days WHERE keep_days <> :keep_days;

-- name: run_history(keep_days int4) -> (keep_days int4, lost int8)
-- lost: runs that would be dropped with so many days.
SELECT h.keep_days,
       CASE WHEN h.keep_days <= :keep_days::int4 THEN 0 ELSE (
         SELECT count(*) FROM weir.run_done d
          WHERE d.ended_at < (date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') - :keep_days::int4 * interval '1 day')
                             AT TIME ZONE 'UTC') END AS lost
  FROM weir.run_history h;

-- name: stored_pipelines() -> (id int4, name text, project text, version int4, removed bool, hash text?, definition jsonb?)
SELECT p.id, p.name, p.project, p.version, p.removed, v.hash, v.definition
  FROM weir.pipeline p LEFT JOIN weir.pipeline_version v ON v.pipeline_id = p.id AND v.version = p.version
 ORDER BY p.name;

-- name: find_pipeline(name text) -> (id int4, version int4, paused bool, removed bool, next_at timestamptz?)
SELECT p.id, p.version, p.paused, p.removed, p.next_at FROM weir.pipeline p WHERE p.name = :name;

-- name: pipeline_names() -> (name text)
SELECT p.name FROM weir.pipeline p WHERE NOT p.removed ORDER BY p.name;

-- name: pause_pipeline(pipeline int4, paused bool)
UPDATE weir.pipeline SET paused = :paused WHERE id = :pipeline;

-- name: find_run(pipeline int4, kind text, logical_at timestamptz) -> (id int8)
(SELECT r.id FROM weir.run r WHERE r.pipeline_id = :pipeline AND r.logical_at = :logical_at AND r.kind = :kind)
UNION ALL
(SELECT d.id FROM weir.run_done d WHERE d.pipeline_id = :pipeline AND d.logical_at = :logical_at AND d.kind = :kind) LIMIT 1;

-- name: cancel_run(run_id int8) -> (outcome text)
SELECT weir.cancel_run(:run_id) AS outcome;

-- name: untold_of_run(run_id int8) -> (run_id int8, task_no int4, item int4, state text)
-- What a change by hand leaves to do.
SELECT t.run_id, t.task_no, t.item, CASE WHEN t.pool_id IS NULL THEN 'end' ELSE 'untold' END AS state
  FROM weir.task t
 WHERE t.run_id = :run_id AND (NOT t.told AND weir.has_ended(t.state) OR t.pool_id IS NULL AND t.state = 'ready');

-- name: begin_again(run_id int8, task_nos int4[]) -> (tasks int4?)
-- Without tasks: all of the run.
SELECT weir.begin_again(:run_id, :task_nos) AS tasks;

-- name: reset_tasks(run_id int8, task_nos int4[]) -> (tasks int4)
SELECT weir.reset_tasks(:run_id, :task_nos) AS tasks;

-- name: mark_task(run_id int8, task_no int4, state text) -> (tasks int4)
SELECT weir.mark_task(:run_id, :task_no, :state) AS tasks;

-- name: make_backfill(pipeline int4, parallel int4, from_at timestamptz, to_at timestamptz, runs int4) -> (id int8)
INSERT INTO weir.backfill (pipeline_id, parallel, from_at, to_at, runs)
VALUES (:pipeline, :parallel, :from_at, :to_at, :runs) RETURNING id;

-- name: list_runs(pipeline text?, states text[], most int4) -> (
--   id int8, pipeline text, kind text, state text, version int4, logical_at timestamptz, created_at timestamptz,
--   started_at timestamptz?, ended_at timestamptz?, tasks int8, done int8, running int8, failed int8)
-- Living runs first, then the newest of those that ended: by index, however long the history is.
(SELECT r.id, p.name AS pipeline, r.kind, r.state, r.version, r.logical_at, r.created_at, r.started_at,
        NULL::timestamptz AS ended_at, t.tasks, t.done, t.running, t.failed
   FROM weir.run r JOIN weir.pipeline p ON p.id = r.pipeline_id
   CROSS JOIN LATERAL (
     SELECT count(*) AS tasks, count(*) FILTER (WHERE weir.has_ended(t.state)) AS done,
            count(*) FILTER (WHERE t.state = 'running') AS running,
            count(*) FILTER (WHERE t.state IN ('failed', 'upstream_failed')) AS failed
       FROM weir.task t WHERE t.run_id = r.id AND t.item < 0 AND t.pool_id IS NOT NULL) t
  WHERE (:pipeline::text IS NULL OR p.name = :pipeline::text) AND (cardinality(:states::text[]) = 0 OR r.state = ANY (:states::text[]))
  ORDER BY r.id DESC LIMIT :most::int4)
UNION ALL
(SELECT d.id, p.name, d.kind, d.state, d.version, d.logical_at, d.created_at, d.started_at, d.ended_at, d.tasks, d.tasks, 0,
        CASE WHEN d.state = 'failed' THEN (SELECT count(*) FROM weir.task_done t
          WHERE t.run_id = d.id AND t.run_ended_at = d.ended_at AND t.item < 0 AND t.state IN ('failed', 'upstream_failed')) ELSE 0 END
   FROM (SELECT * FROM weir.run_done o
          WHERE (:pipeline::text IS NULL OR o.pipeline_id = (SELECT k.id FROM weir.pipeline k WHERE k.name = :pipeline::text))
            AND (cardinality(:states::text[]) = 0 OR o.state = ANY (:states::text[]))
          ORDER BY o.ended_at DESC, o.id DESC LIMIT :most::int4) d
   JOIN weir.pipeline p ON p.id = d.pipeline_id);

-- name: show_run(run_id int8) -> (
--   id int8, pipeline_id int4, pipeline text, kind text, state text, version int4, logical_at timestamptz,
--   interval_start timestamptz, interval_end timestamptz, created_at timestamptz, started_at timestamptz?,
--   ended_at timestamptz?, params jsonb, made_by text, cancelled bool, paused bool, max_active_runs int4)
SELECT r.id, p.id AS pipeline_id, p.name AS pipeline, r.kind, r.state, r.version, r.logical_at, r.interval_start, r.interval_end,
       r.created_at, r.started_at, NULL::timestamptz AS ended_at, r.params, r.made_by, r.cancelled, p.paused, p.max_active_runs
  FROM weir.run r JOIN weir.pipeline p ON p.id = r.pipeline_id WHERE r.id = :run_id
UNION ALL
SELECT d.id, p.id, p.name, d.kind, d.state, d.version, d.logical_at, d.interval_start, d.interval_end, d.created_at,
       d.started_at, d.ended_at, d.params, d.made_by, d.state = 'cancelled', p.paused, p.max_active_runs
  FROM weir.run_done d JOIN weir.pipeline p ON p.id = d.pipeline_id WHERE d.id = :run_id;

-- name: list_tasks(run_id int8) -> (
--   task_no int4, item int4, name text, state text, attempt int4, failures int2, remaining int4, upstream int4, pool text?,
--   pool_id int4?, slots int4, priority int2, rule text, ready_at timestamptz?, started_at timestamptz?, ended_at timestamptz?,
--   worker text?, worker_id int8?, error text?, progress jsonb?)
SELECT t.task_no, t.item, k.name, t.state, t.attempt, t.failures, t.remaining, t.upstream, o.name AS pool, t.pool_id, t.slots,
       t.priority, t.rule, t.ready_at, t.started_at, t.ended_at, w.name AS worker, t.worker_id, t.error,
       CASE WHEN t.state = 'running' AND (t.progress ->> 'attempt')::int4 = t.attempt THEN t.progress END AS progress
  FROM weir.task t
  JOIN weir.pipeline_task k ON k.pipeline_id = t.pipeline_id AND k.version = t.version AND k.task_no = t.task_no
  LEFT JOIN weir.pool o ON o.id = t.pool_id LEFT JOIN weir.process w ON w.id = t.worker_id
 WHERE t.run_id = :run_id AND t.pool_id IS NOT NULL
UNION ALL
SELECT t.task_no, t.item, k.name, t.state, t.attempt, t.failures, 0, k.upstream, o.name, k.pool_id, k.slots, k.priority, k.rule,
       t.ready_at, t.started_at, t.ended_at, NULL, NULL, t.error, NULL
  FROM weir.run_done d
  JOIN weir.task_done t ON t.run_id = d.id AND t.run_ended_at = d.ended_at
  JOIN weir.pipeline_task k ON k.pipeline_id = d.pipeline_id AND k.version = d.version AND k.task_no = t.task_no
  LEFT JOIN weir.pool o ON o.id = k.pool_id
 WHERE d.id = :run_id
 ORDER BY 1, 2;

-- name: task_outputs(run_id int8) -> (task_no int4, item int4, output jsonb)
SELECT t.task_no, t.item, t.output FROM weir.task t WHERE t.run_id = :run_id AND t.output IS NOT NULL
UNION ALL
SELECT t.task_no, t.item, t.output
  FROM weir.run_done d JOIN weir.task_done t ON t.run_id = d.id AND t.run_ended_at = d.ended_at
 WHERE d.id = :run_id AND t.output IS NOT NULL;

-- name: task_usages(run_id int8) -> (task_no int4, item int4, usage jsonb)
-- Of the last attempt that has one.
SELECT DISTINCT ON (a.task_no, a.item) a.task_no, a.item, a.usage
  FROM weir.task_attempt a WHERE a.run_id = :run_id AND a.usage IS NOT NULL
 ORDER BY a.task_no, a.item, a.attempt DESC, a.ended_at DESC;

-- name: pool_holders(pool int4) -> (slots int4?, used int8, pipeline text?, run_id int8?, task text?, held int4?)
-- What runs in a pool, and how much of it.
SELECT o.slots, (SELECT coalesce(sum(t.slots), 0) FROM weir.task t WHERE t.state = 'running' AND t.pool_id = o.id) AS used,
       p.name AS pipeline, t.run_id, k.name AS task, t.slots AS held
  FROM weir.pool o
  LEFT JOIN weir.task t ON t.state = 'running' AND t.pool_id = o.id
  LEFT JOIN weir.pipeline p ON p.id = t.pipeline_id
  LEFT JOIN weir.pipeline_task k ON k.pipeline_id = t.pipeline_id AND k.version = t.version AND k.task_no = t.task_no
 WHERE o.id = :pool
 ORDER BY t.started_at LIMIT 20;

-- name: ready_before(run_id int8, task_no int4, item int4) -> (ahead int8)
-- Ready tasks of the same pool that are more urgent or older, up to a thousand.
SELECT count(*) AS ahead FROM (
  SELECT FROM weir.task t JOIN weir.task o ON o.state = 'ready' AND o.pool_id = t.pool_id
     AND (o.priority > t.priority OR o.priority = t.priority AND o.ready_at < t.ready_at)
   WHERE t.run_id = :run_id AND t.task_no = :task_no AND t.item = :item LIMIT 1000) a;

-- name: unfinished_before(run_id int8, task_no int4) -> (name text, state text, error text?)
SELECT k.name, b.state, b.error FROM weir.task b
  JOIN weir.pipeline_task k ON k.pipeline_id = b.pipeline_id AND k.version = b.version AND k.task_no = b.task_no
 WHERE b.run_id = :run_id AND b.item = -1 AND :task_no = ANY (b.successors) AND NOT weir.has_ended(b.state)
 ORDER BY b.task_no LIMIT 20;

-- name: task_workers() -> (workers int8)
-- Processes that work on tasks, and live.
SELECT count(*) AS workers FROM weir.listener l JOIN weir.process p ON p.id = l.process_id
 WHERE l.topic = 'task' AND NOT p.dead AND p.lease_until > clock_timestamp();

-- name: left_to_others(run_id int8) -> (worker text, reason text)
-- Living workers that cannot read the run's definition.
SELECT p.name AS worker, l.reason FROM weir.run r
  JOIN weir.left_to_others l ON l.pipeline_id = r.pipeline_id AND l.version = r.version
  JOIN weir.process p ON p.id = l.process_id AND NOT p.dead AND p.lease_until > clock_timestamp()
 WHERE r.id = :run_id ORDER BY p.id;

-- name: turn_of_run(run_id int8) -> (again bool, backfill int8?, active int8, most int4, removed bool)
-- What a run waits for that has no turn yet: as many run as may.
SELECT r.again IS NOT NULL AS again, r.backfill_id AS backfill,
       (SELECT count(*) FROM weir.run u WHERE u.state = 'running' AND u.pipeline_id = r.pipeline_id
           AND u.backfill_id IS NOT DISTINCT FROM r.backfill_id) AS active,
       coalesce(b.parallel, p.max_active_runs) AS most, p.removed
  FROM weir.run r JOIN weir.pipeline p ON p.id = r.pipeline_id LEFT JOIN weir.backfill b ON b.id = r.backfill_id
 WHERE r.id = :run_id AND r.state = 'queued';

-- name: begins_with_run(run_id int8, task_no int4) -> (waits bool)
-- Whether the task is to begin again when its run has its turn.
SELECT :task_no = ANY (r.again) AS waits FROM weir.run r WHERE r.id = :run_id AND r.again IS NOT NULL;

-- name: read_task_log(run_id int8, task_no int4, item int4, attempt int4?, after_attempt int4, after int8) -> (
--   attempt int4, number int8, stream text, at timestamptz, line text)
SELECT l.attempt, u.number, u.stream, u.at, u.line
  FROM weir.task_log l CROSS JOIN LATERAL unnest(l.numbers, l.streams, l.times, l.lines) u(number, stream, at, line)
 WHERE l.run_id = :run_id AND l.task_no = :task_no AND l.item = :item
   AND (:attempt::int4 IS NULL OR l.attempt = :attempt::int4) AND l.attempt >= :after_attempt
   AND (l.attempt > :after_attempt OR u.number > :after)
 ORDER BY l.attempt, u.number LIMIT 5000;
