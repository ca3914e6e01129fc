-- What `weir doctor` asks of a migrated database: processes, pools, tasks, tables. Each looks once; none is in a loop.

-- name: doctor_processes() -> (processes int8, living int8, working int8, dead_with_claims int8, dead_tasks int8, dead_jobs int8, overdue_seconds float8?)
-- working: those of the living that work on tasks. A process whose lease has run out and that is not taken for dead yet
-- counts with those that are.
WITH process AS (
  SELECT p.id, NOT p.dead AND p.lease_until > clock_timestamp() AS lives, clock_timestamp() - p.lease_until AS overdue,
         (SELECT count(*) FROM weir.task t WHERE t.state = 'running' AND t.worker_id = p.id) AS tasks,
         (SELECT coalesce(sum(cardinality(c.jobs) - cardinality(c.settled)), 0) FROM weir.job_claim c WHERE c.worker_id = p.id) AS jobs
    FROM weir.process p)
SELECT count(*) AS processes, count(*) FILTER (WHERE p.lives) AS living,
       count(*) FILTER (WHERE p.lives AND EXISTS (SELECT FROM weir.listener l WHERE l.process_id = p.id AND l.topic = 'task')) AS working,
       count(*) FILTER (WHERE NOT p.lives AND p.tasks + p.jobs > 0) AS dead_with_claims,
       coalesce(sum(p.tasks) FILTER (WHERE NOT p.lives), 0)::int8 AS dead_tasks,
       coalesce(sum(p.jobs) FILTER (WHERE NOT p.lives), 0)::int8 AS dead_jobs,
       extract(epoch FROM max(p.overdue) FILTER (WHERE NOT p.lives AND p.tasks + p.jobs > 0))::float8 AS overdue_seconds
  FROM process p;

-- name: doctor_pools() -> (
--   pool text, slots int4?, taken int8, running int8, ready int8, wanted int8, waits_seconds float8?, users int8, widest int4?)
-- Of each pool what runs and what is ready now, and which tasks of the deployed versions name it.
SELECT o.name AS pool, o.slots, coalesce(n.taken, 0)::int8 AS taken, coalesce(n.running, 0)::int8 AS running,
       coalesce(n.ready, 0)::int8 AS ready, coalesce(n.wanted, 0)::int8 AS wanted, n.waits_seconds,
       coalesce(d.users, 0)::int8 AS users, d.widest
  FROM weir.pool o
  LEFT JOIN (
    SELECT t.pool_id, sum(t.slots) FILTER (WHERE t.state = 'running') AS taken, count(*) FILTER (WHERE t.state = 'running') AS running,
           count(*) FILTER (WHERE t.state = 'ready') AS ready, sum(t.slots) FILTER (WHERE t.state = 'ready') AS wanted,
           extract(epoch FROM clock_timestamp() - min(t.ready_at) FILTER (WHERE t.state = 'ready'))::float8 AS waits_seconds
      FROM weir.task t WHERE t.state IN ('ready', 'running') AND t.pool_id IS NOT NULL GROUP BY 1) n ON n.pool_id = o.id
  LEFT JOIN (
    SELECT k.pool_id, count(*) AS users, max(k.slots) AS widest
      FROM weir.pipeline p JOIN weir.pipeline_task k ON k.pipeline_id = p.id AND k.version = p.version
     WHERE NOT p.removed AND k.pool_id IS NOT NULL GROUP BY 1) d ON d.pool_id = o.id
 ORDER BY o.name;

-- name: doctor_schedules() -> (pipelines int8, scheduled int8, paused int8, due int8, due_seconds float8?, untold int8)
-- What should have happened a while ago: runs that nobody has made, ends that nobody has told.
SELECT count(*) AS pipelines, count(*) FILTER (WHERE p.next_at IS NOT NULL) AS scheduled, count(*) FILTER (WHERE p.paused) AS paused,
       count(*) FILTER (WHERE NOT p.paused AND p.next_at < clock_timestamp() - interval '1 minute') AS due,
       extract(epoch FROM clock_timestamp() - min(p.next_at) FILTER (WHERE NOT p.paused))::float8 AS due_seconds,
       (SELECT count(*) FROM weir.task t WHERE NOT t.told AND t.ended_at < clock_timestamp() - interval '1 minute'
           AND t.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled')) AS untold
  FROM weir.pipeline p WHERE NOT p.removed;

-- name: doctor_alerts() -> (waiting int8, waits_seconds float8?, given_up int8, last_error text?)
-- given_up: within a week.
SELECT count(*) FILTER (WHERE a.state = 'waiting') AS waiting,
       extract(epoch FROM clock_timestamp() - min(a.made_at) FILTER (WHERE a.state = 'waiting'))::float8 AS waits_seconds,
       count(*) FILTER (WHERE a.state = 'given_up') AS given_up,
       (array_agg(a.error ORDER BY a.id DESC) FILTER (WHERE a.error IS NOT NULL AND a.state <> 'sent'))[1] AS last_error
  FROM weir.alert a WHERE a.state = 'waiting' OR a.state = 'given_up' AND a.ended_at > clock_timestamp() - interval '7 days';

-- name: doctor_history() -> (parent text, days_ahead int4?, days_kept int4?, keep_days int4, bytes int8)
-- Of runs and tasks; of days that are UTC. days_ahead: 0 when today's partition is the last one.
SELECT c.parent, max(c.day) - c.today AS days_ahead, c.today - min(c.day) AS days_kept,
       (SELECT h.keep_days FROM weir.run_history h) AS keep_days, coalesce(sum(c.bytes), 0)::int8 AS bytes
  FROM (SELECT i.inhparent::regclass::text AS parent, to_date(right(p.relname, 8), 'YYYYMMDD') AS day,
               pg_total_relation_size(p.oid) AS bytes, (clock_timestamp() AT TIME ZONE 'UTC')::date AS today
          FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhrelid
         WHERE i.inhparent = ANY (ARRAY['weir.run_done', 'weir.task_done', 'weir.task_attempt', 'weir.task_log']::regclass[])
           AND p.relname ~ '_\d{8}$') c
 GROUP BY c.parent, c.today ORDER BY 1;

-- name: doctor_dead_letters(most int8) -> (letters int8, unbounded int8, oldest_seconds float8?, worst text?)
-- Of each queue `most` are counted at most. unbounded: of queues that keep them until somebody drops them; worst: the one
-- of these that has the most.
WITH letters AS MATERIALIZED (
  SELECT q.name, q.keep_dead_days IS NULL AS for_ever, c.n,
         (SELECT d.died_at FROM weir.job_dead d WHERE d.queue_id = q.id ORDER BY d.died_at LIMIT 1) AS oldest
    FROM weir.queue q
   CROSS JOIN LATERAL (
     SELECT count(*) AS n FROM (SELECT FROM weir.job_dead d WHERE d.queue_id = q.id LIMIT :most::int8) d) c
   WHERE c.n > 0)
SELECT coalesce(sum(l.n), 0)::int8 AS letters, coalesce(sum(l.n) FILTER (WHERE l.for_ever), 0)::int8 AS unbounded,
       extract(epoch FROM clock_timestamp() - min(l.oldest))::float8 AS oldest_seconds,
       (array_agg(l.name ORDER BY l.n DESC, l.name) FILTER (WHERE l.for_ever))[1] AS worst
  FROM letters l;

-- name: doctor_sleepers(silent_ms int8) -> (
--   sleeping int8, frozen int8, silent_seconds float8?, frozen_pid int4?, frozen_at text?, queue_usage float8)
-- Consumers of groups: `sleeping` in wait for batches; `frozen`: who is told of them and has not looked for so long. Of sessions that this
-- user may not see nothing is said. The keys are those of weir.sleep_key(), written out: who only reads may not call it.
WITH consumer AS MATERIALIZED (
  SELECT a.pid, f.name || '/' || k.name AS place, m.is_asleep,
         CASE WHEN a.state = 'idle' THEN clock_timestamp() - a.state_change END AS silent
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid AND a.datid = l.database
   CROSS JOIN (VALUES ('group:', true), ('group-ear:', false)) m (mark, is_asleep)
    JOIN weir.feed_sink k ON ((l.classid::int8 << 32) | l.objid::int8) = hashtextextended('weir.asleep:' || m.mark || k.id, 0)
    JOIN weir.feed f ON f.id = k.feed_id
   WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted AND l.objsubid = 1
     AND a.datname = current_database() AND a.application_name LIKE 'weir:poll:%'
), frozen AS (
  SELECT c.pid, c.place, c.silent FROM consumer c WHERE NOT c.is_asleep AND c.silent > :silent_ms::int8 * interval '1 ms')
SELECT (SELECT count(*) FROM consumer c WHERE c.is_asleep) AS sleeping, count(*) AS frozen,
       extract(epoch FROM max(o.silent))::float8 AS silent_seconds,
       (array_agg(o.pid ORDER BY o.silent DESC))[1] AS frozen_pid, (array_agg(o.place ORDER BY o.silent DESC))[1] AS frozen_at,
       pg_notification_queue_usage() AS queue_usage
  FROM frozen o;

-- name: doctor_tables() -> (
--   name text, live int8, dead int8, bytes int8, seq_scans int8, seq_rows int8, index_scans int8, vacuumed_seconds float8?)
-- Since the statistics were reset. The partitions of a day count for their table.
SELECT regexp_replace(s.relname, '_\d{8}$', '') AS name, sum(s.n_live_tup)::int8 AS live, sum(s.n_dead_tup)::int8 AS dead,
       sum(pg_table_size(s.relid))::int8 AS bytes, sum(coalesce(s.seq_scan, 0))::int8 AS seq_scans,
       sum(coalesce(s.seq_tup_read, 0))::int8 AS seq_rows, sum(coalesce(s.idx_scan, 0))::int8 AS index_scans,
       extract(epoch FROM clock_timestamp() - max(greatest(s.last_vacuum, s.last_autovacuum)))::float8 AS vacuumed_seconds
  FROM pg_catalog.pg_stat_user_tables s WHERE s.schemaname = 'weir' GROUP BY 1 ORDER BY 1;

-- name: doctor_indexes() -> (name text, scans int8, bytes int8, is_constraint bool)
SELECT regexp_replace(regexp_replace(s.indexrelname, '_\d{8}_', '_'), '_\d{8}$', '') AS name,
       sum(s.idx_scan)::int8 AS scans,
       sum(pg_relation_size(s.indexrelid))::int8 AS bytes, bool_or(i.indisunique) AS is_constraint
  FROM pg_catalog.pg_stat_user_indexes s JOIN pg_catalog.pg_index i ON i.indexrelid = s.indexrelid
 WHERE s.schemaname = 'weir' GROUP BY 1 ORDER BY 1;
