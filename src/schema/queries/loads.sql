-- Loads (src/load/write): Weir's own records of them, locks, and the care afterwards.

-- name: load_lock_target(target_id int8) -> (locked bool)
-- Loads of one table come one after the other; readers and other writers do not notice.
SELECT true AS locked FROM pg_advisory_xact_lock(hashtextextended('weir load:' || :target_id::int8, 0));

-- name: load_try_lock_target(target_id int8) -> (locked bool)
-- As load_lock_target, without waiting.
SELECT pg_try_advisory_xact_lock(hashtextextended('weir load:' || :target_id::int8, 0)) AS locked;

-- name: load_wal_position() -> (bytes int8)
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8 AS bytes;

-- name: load_target_locks(target_id int8) -> (mode text)
-- Those that this session holds on the table and its partitions.
SELECT DISTINCT l.mode
  FROM pg_catalog.pg_locks l
 WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
   AND (l.relation = :target_id::int8::oid
        OR l.relation IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(:target_id::int8::oid) p));

-- name: load_waiting() -> (readers int8, reader_seconds float8, others int8, other_seconds float8)
-- Who waits for this session now, and how long already. Loads that wait for their turn do not count.
SELECT count(*) FILTER (WHERE w.reads) AS readers,
       coalesce(max(w.seconds) FILTER (WHERE w.reads), 0) AS reader_seconds,
       count(*) FILTER (WHERE NOT w.reads) AS others,
       coalesce(max(w.seconds) FILTER (WHERE NOT w.reads), 0) AS other_seconds
  FROM (SELECT l.locktype = 'relation' AND l.mode = 'AccessShareLock' AS reads,
               -- unknown for a moment when the wait begins
               greatest(coalesce(extract(epoch FROM clock_timestamp() - l.waitstart), 0), 0)::float8 AS seconds
          FROM pg_catalog.pg_locks l
         WHERE NOT l.granted AND l.locktype <> 'advisory'
           -- before pg_blocking_pids, which looks into the whole table of locks
           AND (l.database IS NULL
                OR l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()))
           AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))) w;

-- name: load_begin_run(
--   pipeline text, stream text, source text, fingerprint text, target text, target_id int8, mode text) -> (id int8)
INSERT INTO weir.load_run (pipeline, stream, source, fingerprint, target, target_id, mode)
VALUES (:pipeline, :stream, :source, :fingerprint, :target, :target_id, :mode)
RETURNING id;

-- name: load_resumable(fingerprint text) -> (id int8)
-- The newest of its kind, if it was neither applied nor given up and has something in its stage.
SELECT r.id
  FROM (SELECT x.id, x.state FROM weir.load_run x WHERE x.fingerprint = :fingerprint ORDER BY x.id DESC LIMIT 1) r
 WHERE r.state = 'staging' AND EXISTS (SELECT 1 FROM weir.load_chunk c WHERE c.run = r.id);

-- name: load_finish_run(run int8, rejects int8, summary jsonb) -> (id int8)
-- In the apply transaction. Nothing when the run is not one that can be applied.
UPDATE weir.load_run r
   SET state = 'applied', rejects = :rejects, summary = :summary, error = NULL, ended_at = clock_timestamp()
 WHERE r.id = :run AND r.state = 'staging'
RETURNING r.id;

-- name: load_fail_run(run int8, error text)
UPDATE weir.load_run r SET state = 'failed', error = :error, ended_at = clock_timestamp()
 WHERE r.id = :run AND r.state = 'staging';

-- name: load_break_run(run int8, error text)
-- It ended early. What is in its stage can be gone on with where its source can be read again: then it is still staging.
UPDATE weir.load_run r
   SET error = :error, ended_at = clock_timestamp(),
       state = CASE WHEN r.fingerprint <> '' AND EXISTS (SELECT 1 FROM weir.load_chunk c WHERE c.run = r.id)
                    THEN 'staging' ELSE 'failed' END
 WHERE r.id = :run AND r.state = 'staging';

-- name: load_resume_run(run int8, target_id int8) -> (id int8)
-- Nothing when it has ended meanwhile.
UPDATE weir.load_run r SET error = NULL, ended_at = NULL, target_id = :target_id
 WHERE r.id = :run AND r.state = 'staging'
RETURNING r.id;

-- name: load_run_outcome(run int8) -> (state text, summary jsonb?)
SELECT r.state, r.summary FROM weir.load_run r WHERE r.id = :run;

-- name: load_runs(target text?, run int8?, most int8) -> (
--   id int8, pipeline text, stream text, source text, target text, mode text, state text, error text?, summary jsonb?,
--   rejects int8, started_at timestamptz, ended_at timestamptz?, running bool, resumable bool)
-- Running: a session of it is there. Resumable: the same command would go on with it.
SELECT r.id, r.pipeline, r.stream, r.source, r.target, r.mode, r.state, r.error, r.summary, r.rejects, r.started_at,
       r.ended_at,
       r.state = 'staging' AND EXISTS (
         SELECT 1 FROM pg_catalog.pg_stat_activity a
          WHERE a.datname = current_database() AND a.application_name = 'weir:load:' || r.id) AS running,
       r.state = 'staging' AND r.fingerprint <> ''
         AND EXISTS (SELECT 1 FROM weir.load_chunk c WHERE c.run = r.id)
         AND NOT EXISTS (SELECT 1 FROM weir.load_run x WHERE x.fingerprint = r.fingerprint AND x.id > r.id) AS resumable
  FROM weir.load_run r
 WHERE (:target::text IS NULL OR r.target = :target) AND (:run::int8 IS NULL OR r.id = :run)
 ORDER BY r.id DESC
 LIMIT :most;

-- name: load_rejects(run int8) -> (
--   line int8, file text, column_name text, sqlstate text, reason text, raw bytea)
-- Sorted before anything is cut: what lies apart (TOAST) stays there. A record has its first 64 KiB; older versions of
-- Weir kept more of some.
SELECT r.line, r.file, r.column_name, r.sqlstate, r.reason, substr(r.raw, 1, 65536) AS raw
  FROM (SELECT x.line, x.file, x.column_name, x.sqlstate, x.reason, x.raw
          FROM weir.load_reject x WHERE x.run = :run ORDER BY x.file, x.line OFFSET 0) r;

-- name: load_reject_reasons(run int8, most int8) -> (
--   count int8, line int8, file text, column_name text, sqlstate text, reason text, raw bytea)
-- By column and code, the most frequent first, each with its first record.
SELECT k.count, r.line, r.file, r.column_name, r.sqlstate, r.reason, substr(r.raw, 1, 65536) AS raw
  FROM (SELECT x.column_name, x.sqlstate, count(*) AS count
          FROM weir.load_reject x WHERE x.run = :run::int8
         GROUP BY x.column_name, x.sqlstate
         ORDER BY count(*) DESC, x.column_name, x.sqlstate
         LIMIT :most) k
 CROSS JOIN LATERAL (SELECT x.line, x.file, x.column_name, x.sqlstate, x.reason, x.raw
                       FROM weir.load_reject x
                      WHERE x.run = :run::int8 AND x.column_name = k.column_name AND x.sqlstate = k.sqlstate
                      ORDER BY x.file, x.line LIMIT 1) r
 ORDER BY k.count DESC, r.column_name, r.sqlstate;

-- name: load_read_state(pipeline text, stream text) -> (state jsonb, seq int8)
SELECT s.state, s.seq FROM weir.load_state s WHERE s.pipeline = :pipeline AND s.stream = :stream;

-- name: load_lock_state(pipeline text, stream text) -> (seq int8)
SELECT s.seq FROM weir.load_state s WHERE s.pipeline = :pipeline AND s.stream = :stream FOR UPDATE;

-- name: load_first_state(pipeline text, stream text, state jsonb, run int8, rows int8) -> (seq int8)
-- Nothing when another load was faster.
INSERT INTO weir.load_state (pipeline, stream, state, seq, run, rows)
VALUES (:pipeline, :stream, :state, 1, :run, :rows)
ON CONFLICT DO NOTHING
RETURNING seq;

-- name: load_next_state(pipeline text, stream text, seq int8, state jsonb?, run int8, rows int8) -> (seq int8)
UPDATE weir.load_state s
   SET state = coalesce(:state, s.state), seq = s.seq + 1, run = :run, rows = :rows, committed_at = clock_timestamp()
 WHERE s.pipeline = :pipeline AND s.stream = :stream AND s.seq = :seq
RETURNING s.seq;

-- name: load_blockers(pid int4) -> (description text)
-- Who keeps server process `pid` waiting, or holds any lock on what it waits for.
SELECT format('pid %s (%s, user %s), %s for %s: %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),
              a.usename, a.state, date_trunc('milliseconds', clock_timestamp() - coalesce(a.xact_start, a.query_start)),
              left(a.query, 120)) AS description
  FROM unnest(pg_blocking_pids(:pid)) b (pid) JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
 ORDER BY a.xact_start;

-- name: load_lock_holders(target_id int8) -> (description text)
-- The suspects after a lock timeout: the server does not tell whom the statement waited for.
SELECT format('pid %s (%s, user %s), %s for %s: %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),
              a.usename, a.state, date_trunc('milliseconds', clock_timestamp() - coalesce(a.xact_start, a.query_start)),
              left(a.query, 120)) AS description
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_backend_pid()
   AND a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l
                  WHERE l.locktype = 'relation' AND l.relation = :target_id::int8::oid)
 ORDER BY a.xact_start;

-- name: load_old_snapshot() -> (description text, age_seconds float8)
-- Who keeps VACUUM from removing what this session's last transaction has left dead: a snapshot that is older. Of
-- others' sessions only what pg_stat_activity shows to everybody.
SELECT format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed')) AS description,
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS age_seconds
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() AND a.backend_xmin IS NOT NULL
   AND a.backend_type <> 'autovacuum worker'
   AND age(a.backend_xmin) > 0
 ORDER BY age(a.backend_xmin) DESC
 LIMIT 1;

-- name: load_index_sizes(table_id int8) -> (name text, pages int8, tuples float8, width float8)
-- B-trees of a table, for a look at their density: width is what an entry takes on average by the statistics. As the
-- planner does, tuples are those of the last ANALYZE by the table's size now; 0 where there was none.
SELECT c.relname::text AS name, (pg_relation_size(c.oid) / current_setting('block_size')::int8)::int8 AS pages,
       coalesce(greatest(t.reltuples, 0)::float8 / nullif(t.relpages, 0)
                * pg_relation_size(t.oid) / current_setting('block_size')::int8, 0)::float8 AS tuples,
       (SELECT sum(coalesce(s.avg_width, 16))::float8
          FROM unnest(i.indkey::int2[]) k (attnum)
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
          LEFT JOIN pg_catalog.pg_stats s
                 ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname) AS width
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
  JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
 WHERE i.indrelid = :table_id::int8::oid AND i.indisvalid
 ORDER BY c.relname;

-- name: load_hold_target(target_id int8) -> (locked bool)
-- As load_lock_target, for a swap: over several transactions, to the end of the session.
SELECT true AS locked FROM pg_advisory_lock(hashtextextended('weir load:' || :target_id::int8, 0));

-- name: load_try_hold_target(target_id int8) -> (locked bool)
-- As load_hold_target, without waiting.
SELECT pg_try_advisory_lock(hashtextextended('weir load:' || :target_id::int8, 0)) AS locked;

-- name: load_sequences(table_id int8) -> (column_name text, sequence text)
-- Of columns that get their values from one, and have an index that knows their greatest.
SELECT a.attname::text AS column_name, s.name AS sequence
  FROM pg_catalog.pg_attribute a
 CROSS JOIN LATERAL (SELECT pg_get_serial_sequence(a.attrelid::regclass::text, a.attname::text) AS name) s
 WHERE a.attrelid = :table_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped
   AND (a.attidentity <> '' OR a.atthasdef) AND s.name IS NOT NULL AND has_sequence_privilege(s.name, 'SELECT')
   AND EXISTS (SELECT 1 FROM pg_catalog.pg_index i
                WHERE i.indrelid = a.attrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum);
