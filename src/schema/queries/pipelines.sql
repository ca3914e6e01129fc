-- Definitions of pipelines, as they are deployed. See migrations/012_pipelines.sql.

-- name: set_pool(name text, slots int4?)
INSERT INTO weir.pool AS p (name, slots) VALUES (:name, :slots)
ON CONFLICT (name) DO UPDATE SET slots = excluded.slots WHERE p.slots IS DISTINCT FROM excluded.slots;

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
