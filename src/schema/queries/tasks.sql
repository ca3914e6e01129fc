-- What processes run that work on pipelines. See migrations/013_tasks.sql and 014_runs.sql, and docs/state-machine.md.

-- name: claim_tasks(process int8, number int8, wanted int4, turn_pool int4, turn_pipeline int4, avoided int8[]) -> (
--   run_id int8?, task_no int4?, item int4?, attempt int4?, failures int2?, pipeline_id int4?, version int4?, pool_id int4?,
--   ready_at timestamptz?, logical_at timestamptz?, interval_start timestamptz?, interval_end timestamptz?, params jsonb?,
--   element jsonb?)
-- A row without a run: a pool was being claimed from by somebody else, so it is worth looking again.
SELECT c.run_id, c.task_no, c.item, c.attempt, c.failures, c.pipeline_id, c.version, c.pool_id, c.ready_at, c.logical_at,
       c.interval_start, c.interval_end, c.params, c.element
  FROM weir.claim_tasks(:process, :number, :wanted, :turn_pool, :turn_pipeline, :avoided) c;

-- name: return_task_claim(process int8, number int8) -> (returned int4)
SELECT weir.return_task_claim(:process, :number) AS returned;

-- name: finish_tasks(worker int8, claims int8[], run_ids int8[], task_nos int4[], items int4[], states text[],
--   delays_ms int8[], errors text?[], details jsonb?[]) -> (run_id int8, task_no int4, item int4, state text)
SELECT f.run_id, f.task_no, f.item, f.state
  FROM weir.finish_tasks(:worker, :claims, :run_ids, :task_nos, :items, :states, :delays_ms, :errors, :details) f;

-- name: tell_runs(run_ids int8[], most int4) -> (run_id int8, task_no int4, item int4, state text)
SELECT s.run_id, s.task_no, s.item, s.state FROM weir.tell_runs(:run_ids, :most) s;

-- name: end_runs(run_ids int8[]) -> (run_id int8, pipeline_id int4, state text, alerts int4)
-- With their alerts, in one order of pipelines: those lock a row of each.
SELECT e.run_id, e.pipeline_id, e.state,
       CASE WHEN EXISTS (SELECT FROM weir.pipeline_alert a WHERE a.pipeline_id = e.pipeline_id)
            THEN weir.alert_end(e.run_id) ELSE 0 END AS alerts
  FROM (SELECT * FROM weir.end_runs(:run_ids) ORDER BY pipeline_id) e;

-- name: start_runs(pipeline int4) -> (run_id int8)
SELECT s AS run_id FROM weir.start_runs(:pipeline) s;

-- name: startable_pipelines() -> (id int4)
SELECT s AS id FROM weir.startable_pipelines() s;

-- name: expand_task(worker int8, number int8, run_id int8, task_no int4, elements jsonb[], parallel int4?) -> (expanded bool)
SELECT weir.expand_task(:worker, :number, :run_id, :task_no, :elements, :parallel) AS expanded;

-- name: own_tasks(worker int8) -> (run_id int8, task_no int4, item int4, claim int8, cancelled bool)
SELECT t.run_id, t.task_no, t.item, t.claim, t.cancelled FROM weir.task t WHERE t.state = 'running' AND t.worker_id = :worker;

-- name: still_owns_task(worker int8, claim int8, run_id int8, task_no int4, item int4) -> (owns bool)
SELECT EXISTS (SELECT FROM weir.task t WHERE t.run_id = :run_id AND t.task_no = :task_no AND t.item = :item
                  AND t.state = 'running' AND t.worker_id = :worker AND t.claim = :claim) AS owns;

-- name: promote_tasks(wanted int4) -> (promoted int4, next_ms int8?)
SELECT p.promoted, p.next_ms FROM weir.promote_tasks(:wanted) p;

-- name: rescue_tasks(wanted int4) -> (run_id int8, task_no int4, item int4, state text)
SELECT r.run_id, r.task_no, r.item, r.state FROM weir.rescue_tasks(:wanted) r;

-- name: untold_tasks(older_ms int8, wanted int4) -> (run_id int8, task_no int4, item int4, state text)
SELECT u.run_id, u.task_no, u.item, u.state FROM weir.untold_tasks(:older_ms, :wanted) u;

-- name: has_runs() -> (has bool)
-- Whether anything is left that is or will be claimed without anybody asking for more.
-- By index, which EXISTS would not have to use: it might go through many that wait to find one that runs.
SELECT (SELECT true FROM weir.run r WHERE r.state = 'running' ORDER BY r.pipeline_id LIMIT 1) IS NOT NULL
       OR EXISTS (SELECT FROM weir.startable_pipelines()) AS has;

-- name: task_definition(pipeline_id int4, version int4) -> (definition jsonb)
SELECT v.definition FROM weir.pipeline_version v WHERE v.pipeline_id = :pipeline_id AND v.version = :version;

-- name: leave_to_others(process int8, pipeline_id int4, version int4, reason text)
INSERT INTO weir.left_to_others (process_id, pipeline_id, version, reason) VALUES (:process, :pipeline_id, :version, :reason)
ON CONFLICT DO NOTHING;

-- name: due_pipelines(now timestamptz?, wanted int4, avoided int8[]) -> (
--   id int4, version int4, name text, next_at timestamptz, fired_at timestamptz?, now timestamptz)
-- FOR UPDATE: who fires moves next_at in the same transaction, so that no logical time is fired twice.
SELECT p.id, p.version, p.name, p.next_at, p.fired_at, coalesce(:now::timestamptz, clock_timestamp()) AS now
  FROM weir.pipeline p
 WHERE p.next_at <= coalesce(:now::timestamptz, clock_timestamp()) AND NOT p.paused AND NOT p.removed
   AND ((p.id::int8 << 32) | p.version) <> ALL (:avoided::int8[])
 ORDER BY p.next_at LIMIT :wanted::int4 FOR NO KEY UPDATE SKIP LOCKED;

-- name: next_firing(now timestamptz?, avoided int8[]) -> (next_ms int8)
SELECT greatest(0, ceil(extract(epoch FROM p.next_at - coalesce(:now::timestamptz, clock_timestamp())) * 1000))::int8 AS next_ms
  FROM weir.pipeline p
 WHERE p.next_at IS NOT NULL AND NOT p.paused AND NOT p.removed AND ((p.id::int8 << 32) | p.version) <> ALL (:avoided::int8[])
 ORDER BY p.next_at LIMIT 1;

-- name: set_next_firing(pipeline int4, next_at timestamptz?, fired_at timestamptz?)
UPDATE weir.pipeline SET next_at = :next_at, fired_at = coalesce(:fired_at, fired_at) WHERE id = :pipeline;

-- name: postpone_firing(pipeline int4, now timestamptz?)
-- What was fired stays as it is: nothing is passed over by it.
UPDATE weir.pipeline SET next_at = coalesce(:now::timestamptz, clock_timestamp()) + interval '1 minute' WHERE id = :pipeline;

-- name: mend_clocks()
-- A clock that was ahead and was put right leaves schedules behind that wait for it, and leases of the dead. No logical time is
-- fired twice by it: its run is known. No lease is longer than an hour.
WITH schedules AS (
  UPDATE weir.pipeline SET next_at = clock_timestamp(), fired_at = clock_timestamp()
   WHERE fired_at > clock_timestamp() + interval '1 hour' AND next_at IS NOT NULL AND NOT removed)
UPDATE weir.process SET lease_until = clock_timestamp() + interval '1 hour'
 WHERE NOT dead AND lease_until > clock_timestamp() + interval '2 hours';

-- name: create_run(pipeline int4, kind text, logical_at timestamptz, interval_start timestamptz, interval_end timestamptz,
--   params jsonb, priority int4, late_at timestamptz?, backfill int8?) -> (id int8?)
SELECT weir.create_run(:pipeline, :kind, :logical_at, :interval_start, :interval_end, :params, :priority, :late_at, :backfill) AS id;

-- name: has_dataset_updates() -> (has bool)
SELECT EXISTS (SELECT FROM weir.dataset_update) AS has;

-- name: updated_pipelines(wanted int4, avoided int8[]) -> (id int4, version int4, name text)
-- Pipelines whose datasets were all updated since their last run, as far as is known before they are locked.
SELECT p.id, p.version, p.name FROM weir.pipeline p
 WHERE NOT p.paused AND NOT p.removed AND ((p.id::int8 << 32) | p.version) <> ALL (:avoided::int8[])
   AND p.id IN (SELECT DISTINCT u.pipeline_id FROM weir.dataset_update u)
   AND NOT EXISTS (SELECT FROM weir.pipeline_dataset d
                    WHERE d.pipeline_id = p.id
                      AND NOT EXISTS (SELECT FROM weir.dataset_update u
                                       WHERE u.pipeline_id = d.pipeline_id AND u.dataset = d.dataset))
 ORDER BY p.id LIMIT :wanted::int4 FOR NO KEY UPDATE SKIP LOCKED;

-- name: take_dataset_updates(pipeline int4) -> (updated_at timestamptz)
-- Forgets them, in the transaction that makes the run; nothing where another process was faster, and one of them is missing.
DELETE FROM weir.dataset_update u
 WHERE u.pipeline_id = :pipeline
   AND NOT EXISTS (SELECT FROM weir.pipeline_dataset d
                    WHERE d.pipeline_id = :pipeline
                      AND NOT EXISTS (SELECT FROM weir.dataset_update o
                                       WHERE o.pipeline_id = d.pipeline_id AND o.dataset = d.dataset))
RETURNING u.updated_at;

-- name: late_runs() -> (run_id int8, pipeline text, logical_at timestamptz, alerts int4)
-- Runs that are past their deadline, each once.
SELECT l.run_id, l.pipeline, l.logical_at, l.alerts FROM weir.find_late_runs() l;

-- name: keep_run_history() -> (changed int4)
WITH early AS (
  DELETE FROM weir.early_success e
   WHERE e.logical_at < clock_timestamp() - (SELECT h.keep_days FROM weir.run_history h) * interval '1 day')
SELECT weir.keep_run_history() AS changed;

-- name: write_task_log(run_id int8, task_no int4, item int4, attempt int4, numbers int8[], streams text[],
--   times timestamptz[], lines text[])
-- Does not wait for the disk: a log is no result.
INSERT INTO weir.task_log (run_id, task_no, item, attempt, numbers, streams, times, lines)
SELECT :run_id::int8, :task_no::int4, :item::int4, :attempt::int4, :numbers::int8[], :streams::text[], :times::timestamptz[], :lines::text[]
 WHERE set_config('synchronous_commit', 'off', true) = 'off';

-- name: report_task_progress(worker int8, claim int8, run_id int8, task_no int4, item int4, progress jsonb)
-- Does not wait for the disk, and changes nothing that an index has.
UPDATE weir.task SET progress = :progress
 WHERE run_id = :run_id AND task_no = :task_no AND item = :item AND state = 'running' AND worker_id = :worker AND claim = :claim
   AND set_config('synchronous_commit', 'off', true) = 'off';

-- name: pipeline_has_succeeded(pipeline text, logical_at timestamptz, since timestamptz) -> (has bool)
-- For that logical time or a later one. since: what has ended before it was early, and is written down elsewhere; history is not looked
-- through from its beginning.
SELECT EXISTS (SELECT FROM weir.pipeline p JOIN weir.run_done d ON d.pipeline_id = p.id
                WHERE p.name = :pipeline AND d.logical_at >= :logical_at AND d.ended_at >= :since AND d.state = 'success')
       OR EXISTS (SELECT FROM weir.pipeline p JOIN weir.early_success e ON e.pipeline_id = p.id
                   WHERE p.name = :pipeline AND e.logical_at >= :logical_at) AS has;

-- name: task_waits(run_id int8, task_no int4, item int4) -> (waits_ms int8)
-- How long since it could first begin: since the last of those before it has ended, since it was begun again by hand, or since
-- its run began.
SELECT (extract(epoch FROM clock_timestamp() - coalesce(greatest(t.reset_at,
          (SELECT max(b.ended_at) FROM weir.task b WHERE b.run_id = :run_id AND b.item = -1 AND :task_no = ANY (b.successors))),
          r.started_at)) * 1000)::int8 AS waits_ms
  FROM weir.run r JOIN weir.task t ON t.run_id = r.id AND t.task_no = :task_no AND t.item = :item WHERE r.id = :run_id;
