-- Streams. See migrations/020_streams.sql for what is where.

-- name: rebase_stream(stream int4, server_id int8, shift int8, ended int8)
-- The last cut may have had nothing to cut; from now on it ends where the other server's transactions end.
WITH moved AS (
  UPDATE weir.stream s SET server_id = :server_id, shift = :shift WHERE s.id = :stream
)
UPDATE weir.stream_cut c SET ended = :ended, open = '{}'
 WHERE c.stream_id = :stream AND c.number = (SELECT max(o.number) FROM weir.stream_cut o WHERE o.stream_id = :stream);

-- name: stream_table_columns(schema_name text, table_name text, but text) -> (names text)
SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS names
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = :schema_name::text AND c.relname = :table_name::text AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attgenerated = '' AND a.attname <> :but::text;

-- name: stream_server() -> (server_id int8)
SELECT s.system_identifier AS server_id FROM pg_catalog.pg_control_system() s;

-- name: stream_definition(name text) -> (
--   id int4, schema_name text, table_name text, chunk_events int4, server_id int8, shift int8,
--   xid_column text, id_column text, at_column text, key_column text?, payload_column text?, adopted bool)
SELECT s.id, s.schema_name, s.table_name, s.chunk_events, s.server_id, s.shift, s.xid_column, s.id_column, s.at_column, s.key_column,
       s.payload_column, s.adopted
  FROM weir.stream s WHERE s.name = :name;

-- name: last_stream_cut(stream int4) -> (number int8, ended int8, open int8[], last_chunk int8)
SELECT c.number, c.ended, c.open, c.last_chunk FROM weir.stream_cut c
 WHERE c.stream_id = :stream ORDER BY c.number DESC LIMIT 1;

-- name: stream_horizon() -> (server_id int8, snapshot text)
SELECT (SELECT s.system_identifier FROM pg_catalog.pg_control_system() s) AS server_id, pg_current_snapshot()::text AS snapshot;

-- name: store_stream_cut(stream int4, number int8, ended int8, open int8[], from_xids int8[], to_xids int8[],
--   after_events int8?[], last_events int8?[], events int8[], first_at timestamptz[], last_at timestamptz[],
--   opens text[], lates text[]) -> (last_chunk int8)
SELECT weir.store_stream_cut(:stream, :number, :ended, :open,
         ARRAY(SELECT ROW(0, 0, c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at, c.last_at, NULL,
                          c.open::int8[], c.late::int8[])::weir.stream_chunk
                 FROM unnest(:from_xids::int8[], :to_xids::int8[], :after_events::int8[], :last_events::int8[],
                             :events::int8[], :first_at::timestamptz[], :last_at::timestamptz[], :opens::text[],
                             :lates::text[])
                        WITH ORDINALITY c(from_xid, to_xid, after_event, last_event, events, first_at, last_at, open, late,
                                          place)
                ORDER BY c.place)) AS last_chunk;

-- name: make_stream_group(stream int4, name text, from_at timestamptz?) -> (id int4)
SELECT weir.make_stream_group(:stream, :name, :from_at) AS id;

-- name: take_stream_work(group_id int4, above int8, wanted int4) -> (
--   number int8, attempt int2, since timestamptz?, from_xid int8, to_xid int8, after_event int8?, last_event int8?,
--   events int8, first_at timestamptz, last_at timestamptz, open int8[], late int8[])
-- Gone when the transaction commits, together with what was made of the events.
WITH picked AS MATERIALIZED (
  SELECT w.ctid AS tid FROM weir.stream_work w
   WHERE EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
     AND w.group_id = :group_id AND w.chunk > :above
   ORDER BY w.chunk LIMIT :wanted::int4 FOR UPDATE SKIP LOCKED
), taken AS (
  DELETE FROM weir.stream_work w USING picked WHERE w.ctid = picked.tid RETURNING w.group_id, w.chunk, w.attempt, w.since
)
SELECT c.number, t.attempt, t.since, c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at, c.last_at,
       c.open, c.late
  FROM taken t JOIN weir.stream_group g ON g.id = t.group_id
       JOIN weir.stream_chunk c ON c.stream_id = g.stream_id AND c.number = t.chunk
 ORDER BY c.number;

-- name: stream_table_name(name text) -> (schema_name text, table_name text, taken bool)
-- How SQL would read the name of a table that is to be made.
SELECT coalesce(CASE WHEN cardinality(p.parts) > 1 THEN p.parts[1] END, current_schema()::text) AS schema_name,
       p.parts[cardinality(p.parts)] AS table_name, to_regclass(:name) IS NOT NULL AS taken
  FROM (SELECT parse_ident(:name) AS parts) p;

-- name: stream_names() -> (name text)
SELECT s.name FROM weir.stream s ORDER BY s.name LIMIT 100;

-- name: make_stream(name text, schema_name text, table_name text, chunk_events int4, span_ms int8?, ahead int4,
--   retain_ms int8?, retain_bytes int8?, hold_ms int8, server_id int8, ended int8, open int8[]) -> (id int4)
WITH made AS (
  INSERT INTO weir.stream (name, schema_name, table_name, chunk_events, span_ms, ahead, retain_ms, retain_bytes, hold_ms, server_id)
  VALUES (:name, :schema_name, :table_name, :chunk_events, :span_ms, :ahead, :retain_ms, :retain_bytes, :hold_ms, :server_id)
  RETURNING id
), cut AS (
  INSERT INTO weir.stream_cut (stream_id, number, ended, open, last_chunk, events)
  SELECT m.id, 0, :ended, :open, 0, 0 FROM made m
)
SELECT m.id FROM made m;

-- name: stream_keeping(stream int4) -> (
--   span_ms int8?, ahead int4, retain_ms int8?, retain_bytes int8?, hold_ms int8, now timestamptz)
SELECT s.span_ms, s.ahead, s.retain_ms, s.retain_bytes, s.hold_ms, clock_timestamp() AS now
  FROM weir.stream s WHERE s.id = :stream;

-- name: stream_blockers(stream int4, from_at timestamptz, to_at timestamptz) -> (group_name text, events int8, claimed bool)
-- Groups that have chunks before them with events of that time. Who has claimed one for hours is hung, and not awaited. A process that
-- has a lane has at most the next 64 chunks of it at hand (kMostLaneChunks): they do not count twice.
SELECT g.name AS group_name, coalesce(sum(c.events) FILTER (WHERE p.counts), 0)::int8 AS events, bool_or(p.claimed) AS claimed
  FROM weir.stream_group g
  CROSS JOIN LATERAL (SELECT w.chunk, w.since, false AS claimed, true AS counts FROM weir.stream_work w WHERE w.group_id = g.id
                      UNION ALL
                      SELECT w.chunk, w.since, k.claimed_at > clock_timestamp() - interval '1 h', true
                        FROM weir.stream_claim k CROSS JOIN LATERAL unnest(k.work) w WHERE k.group_id = g.id
                      UNION ALL
                      SELECT v.chunk, v.since, false, true FROM weir.stream_lane_work v
                       WHERE v.group_id = g.id AND v.first_at < :to_at AND v.last_at >= :from_at
                      UNION ALL
                      SELECT h.number, NULL, k.claimed_at > clock_timestamp() - interval '1 h', false
                        FROM weir.stream_lane l JOIN weir.stream_claim k ON k.worker_id = l.worker_id AND k.number = l.claim
                       CROSS JOIN LATERAL (
                         SELECT o.number FROM weir.stream_chunk o
                          WHERE o.stream_id = g.stream_id AND o.number > l.done_chunk
                            AND NOT coalesce(o.number <= l.since_upto AND o.last_at < l.since, false)
                          ORDER BY o.number LIMIT 64) h
                       WHERE l.group_id = g.id) p
  JOIN weir.stream_chunk c ON c.stream_id = g.stream_id AND c.number = p.chunk
 WHERE g.stream_id = :stream AND c.first_at < :to_at AND c.last_at >= :from_at AND coalesce(p.since < :to_at, true)
 GROUP BY g.name ORDER BY g.name;

-- name: refuse_while_dropping(stream int4, from_at timestamptz) -> (refused bool)
-- Throws where it has to.
SELECT weir.refuse_while_dropping(:stream, :from_at) IS NULL AS refused;

-- name: keep_stream_alone(stream int4) -> (alone bool)
-- For as long as the session lasts, or until leave_stream_keeping.
SELECT pg_try_advisory_lock(hashtextextended('weir.stream_keeper:' || :stream::int4, 0)) AS alone;

-- name: leave_stream_keeping(stream int4) -> (was_alone bool)
SELECT pg_advisory_unlock(hashtextextended('weir.stream_keeper:' || :stream::int4, 0)) AS was_alone;

-- name: stream_restored(stream int4) -> (by_xid int8, is_copy bool)
-- The transaction that wrote the last cut here, and whether it says so itself: then the files were copied as they are, and no dump
-- was made.
SELECT c.xmin::text::int8 AS by_xid, c.xmin::text::int8 = c.written::text::int8 % 4294967296 AS is_copy
  FROM weir.stream_cut c WHERE c.stream_id = :stream ORDER BY c.number DESC LIMIT 1;

-- name: lock_stream(stream int4) -> (locked bool)
SELECT weir.lock_stream(:stream) IS NULL AS locked;

-- name: lock_stream_past(stream int4) -> (locked bool)
-- See migrations/038_streams_past.sql. Before lock_stream.
SELECT weir.lock_stream_past(:stream) IS NULL AS locked;

-- name: try_lock_stream_past(stream int4) -> (locked bool)
SELECT weir.try_lock_stream_past(:stream) AS locked;

-- name: merge_stream_chunks(stream int4, above int8, most int4) -> (merged int8, next int8?)
SELECT m.merged, m.next FROM weir.merge_stream_chunks(:stream, :above, :most) m;

-- name: begin_stream_detach(stream int4, table_name text, from_at timestamptz, to_at timestamptz, in_spite bool)
INSERT INTO weir.stream_detached (stream_id, table_name, table_id, from_at, to_at, in_spite)
SELECT :stream, :table_name, c.oid, :from_at, :to_at, :in_spite
  FROM weir.stream s
  JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = :table_name::text
  JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
 WHERE s.id = :stream
ON CONFLICT (stream_id, table_name) DO UPDATE SET in_spite = excluded.in_spite, table_id = excluded.table_id;

-- name: stream_detached(stream int4) -> (
--   table_name text, from_at timestamptz, to_at timestamptz, in_spite bool, attached bool, detaching bool, is_there bool)
SELECT d.table_name, d.from_at, d.to_at, d.in_spite, i.inhrelid IS NOT NULL AS attached,
       coalesce(i.inhdetachpending, false) AS detaching, c.oid IS NOT NULL AS is_there
  FROM weir.stream_detached d
  LEFT JOIN pg_catalog.pg_class c ON c.oid = d.table_id AND c.relname = d.table_name
  LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
 WHERE d.stream_id = :stream ORDER BY d.from_at;

-- name: end_stream_detach(stream int4, table_name text)
DELETE FROM weir.stream_detached d WHERE d.stream_id = :stream AND d.table_name = :table_name;

-- name: forget_stream_partition(stream int4, table_name text, from_at timestamptz, to_at timestamptz) -> (lost int8)
SELECT weir.forget_stream_partition(:stream, :table_name, :from_at, :to_at) AS lost;

-- name: forget_stream_chunks(stream int4, before timestamptz, most int4) -> (number int8)
-- Whose events are all gone, and that nobody has before them.
DELETE FROM weir.stream_chunk c
 WHERE c.stream_id = :stream
   AND c.number IN (SELECT o.number FROM weir.stream_chunk o
                     WHERE o.stream_id = :stream AND o.last_at < :before
                       AND NOT EXISTS (SELECT FROM weir.stream_work w JOIN weir.stream_group g ON g.id = w.group_id
                                        WHERE g.stream_id = o.stream_id AND w.chunk = o.number)
                       AND NOT EXISTS (SELECT FROM weir.stream_claim k CROSS JOIN LATERAL unnest(k.work) w
                                         JOIN weir.stream_group g ON g.id = k.group_id
                                        WHERE g.stream_id = o.stream_id AND w.chunk = o.number)
                     ORDER BY o.number LIMIT :most::int4)
RETURNING c.number;

-- name: stream_partitions(schema_name text, table_name text) -> (
--   name text, from_at timestamptz?, to_at timestamptz?, is_default bool, detaching bool, sealed bool, bytes int8)
-- Without a time: from the beginning, or for ever; or partitioned by something else, as an adopted table may be.
SELECT c.relname::text AS name, CASE WHEN k.by_time THEN (regexp_match(b.text, 'FROM \(''([^'']+)''\)'))[1]::timestamptz END AS from_at,
       CASE WHEN k.by_time THEN (regexp_match(b.text, 'TO \(''([^'']+)''\)'))[1]::timestamptz END AS to_at, b.text = 'DEFAULT' AS is_default,
       i.inhdetachpending AS detaching,
       EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'weir_sealed' AND g.tgenabled <> 'D') AS sealed,
       pg_catalog.pg_total_relation_size(c.oid) AS bytes
  FROM pg_catalog.pg_class t
  JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid
  JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL (SELECT pg_catalog.pg_get_expr(c.relpartbound, c.oid) AS text) b
  CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table p
                     JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = p.partattrs[0]
                    WHERE p.partrelid = t.oid AND p.partstrat = 'r' AND p.partnatts = 1
                      AND a.atttypid = 'timestamptz'::regtype) AS by_time) k
 WHERE n.nspname = :schema_name::text AND t.relname = :table_name::text
 ORDER BY 2 NULLS FIRST, 1;

-- name: take_stream_letters(group_id int4, wanted int4) -> (id int8, attempt int2)
-- What failed and is due, until the transaction ends. What was lost with its process before comes alone.
WITH due AS MATERIALIZED (
  SELECT l.id, l.attempt, l.alone, l.next_at FROM weir.stream_letter l
   WHERE EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
     AND l.group_id = :group_id AND l.next_at <= clock_timestamp() AND l.worker_id IS NULL
   ORDER BY l.next_at LIMIT :wanted::int4 FOR UPDATE SKIP LOCKED
)
SELECT d.id, d.attempt FROM due d WHERE NOT d.alone OR (SELECT bool_and(o.alone) FROM due o)
 ORDER BY d.next_at LIMIT CASE WHEN (SELECT bool_and(o.alone) FROM due o) THEN 1 ELSE :wanted::int4 END;

-- name: claim_stream_work(process int8, claim int8, group_id int4, above int8, wanted int4, but int8[]) -> (
--   number int8, attempt int2, since timestamptz?, from_xid int8, to_xid int8, after_event int8?, last_event int8?,
--   events int8, first_at timestamptz, last_at timestamptz, open int8[], late int8[])
-- As take_stream_work, but under the lease of a process (see claim_jobs), and without the chunks in `but`.
WITH me AS MATERIALIZED (
  SELECT p.id FROM weir.process p WHERE p.id = :process AND NOT p.dead AND p.first_claim <= :claim FOR KEY SHARE
), picked AS MATERIALIZED (
  SELECT w.ctid AS tid FROM weir.stream_work w
   WHERE EXISTS (SELECT FROM me) AND EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
     AND w.group_id = :group_id AND w.chunk > :above AND w.chunk <> ALL (:but::int8[])
   ORDER BY w.chunk LIMIT :wanted::int4 FOR UPDATE SKIP LOCKED
), taken AS (
  DELETE FROM weir.stream_work w USING picked WHERE w.ctid = picked.tid RETURNING w.*
), claim AS (
  INSERT INTO weir.stream_claim (worker_id, number, group_id, work)
  SELECT :process, :claim, :group_id, array_agg(ROW(t.group_id, t.chunk, t.attempt, t.since)::weir.stream_work)
    FROM taken t HAVING count(*) > 0
  RETURNING 1
)
SELECT c.number, t.attempt, t.since, c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at, c.last_at,
       c.open, c.late
  FROM taken t JOIN weir.stream_group g ON g.id = t.group_id
       JOIN weir.stream_chunk c ON c.stream_id = g.stream_id AND c.number = t.chunk
 ORDER BY c.number;

-- name: claim_stream_letters(process int8, claim int8, group_id int4, wanted int4) -> (id int8, attempt int2)
-- As take_stream_letters, but under the lease of a process; nothing while it has a lane that must be alone (see claim_stream_lane).
WITH me AS MATERIALIZED (
  SELECT p.id FROM weir.process p
   WHERE p.id = :process AND NOT p.dead AND p.first_claim <= :claim
     AND NOT EXISTS (SELECT FROM weir.stream_lane s WHERE s.group_id = :group_id AND s.worker_id = :process AND s.most = 1)
     FOR KEY SHARE
), due AS MATERIALIZED (
  SELECT l.id, l.alone, l.next_at FROM weir.stream_letter l
   WHERE EXISTS (SELECT FROM me) AND EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
     AND l.group_id = :group_id AND l.next_at <= clock_timestamp() AND l.worker_id IS NULL
   ORDER BY l.next_at LIMIT :wanted::int4 FOR UPDATE SKIP LOCKED
), picked AS MATERIALIZED (
  SELECT d.id FROM due d WHERE NOT d.alone OR (SELECT bool_and(o.alone) FROM due o)
   ORDER BY d.next_at LIMIT CASE WHEN (SELECT bool_and(o.alone) FROM due o) THEN 1 ELSE :wanted::int4 END
), claim AS (
  INSERT INTO weir.stream_claim (worker_id, number, group_id, work)
  SELECT :process, :claim, :group_id, '{}' WHERE EXISTS (SELECT FROM picked)
)
UPDATE weir.stream_letter l SET worker_id = :process, claim = :claim FROM picked
 WHERE l.id = picked.id
RETURNING l.id, l.attempt;

-- name: settle_stream_letters(letters int8[], failed int8[], attempts int2[], delays_ms int8?[], errors text[])
-- Of letters that were taken or claimed: those in `failed` are tried again after a delay or, without one, are dead; the others
-- are done.
WITH f AS MATERIALIZED (
  SELECT * FROM ROWS FROM (unnest(:failed::int8[]), unnest(:attempts::int2[]), unnest(:delays_ms::int8[]), unnest(:errors::text[]))
                          r(id, attempt, delay_ms, error)
), again AS (
  UPDATE weir.stream_letter l
     SET worker_id = NULL, claim = NULL, attempt = f.attempt, error = f.error, failed_at = clock_timestamp(), alone = false,
         next_at = clock_timestamp() + f.delay_ms * interval '1 ms'
    FROM f WHERE l.id = f.id
)
DELETE FROM weir.stream_letter l WHERE l.id = ANY (:letters::int8[]) AND NOT l.id = ANY (:failed::int8[]);

-- name: stream_letters_pending(group_id int4, most int4) -> (pending int8)
-- Of those that are tried again; not counted beyond `most`.
SELECT count(*) AS pending
  FROM (SELECT FROM weir.stream_letter l WHERE l.group_id = :group_id AND l.next_at IS NOT NULL AND l.worker_id IS NULL LIMIT :most::int4) l;

-- name: finish_stream_claim(process int8, claim int8, untouched int8[]) -> (number int8)
-- No row: the lease was lost, and what was done has to be forgotten. Chunks that were not begun go back.
WITH gone AS (
  DELETE FROM weir.stream_claim c WHERE c.worker_id = :process AND c.number = :claim RETURNING c.number, c.work
), back AS (
  INSERT INTO weir.stream_work (group_id, chunk, attempt, since)
  SELECT w.group_id, w.chunk, w.attempt, w.since FROM gone g CROSS JOIN LATERAL unnest(g.work) w
   WHERE w.chunk = ANY (:untouched::int8[])
  ON CONFLICT DO NOTHING
)
SELECT g.number FROM gone g;

-- name: give_up_stream_claim(process int8, claim int8) -> (found bool)
SELECT weir.give_up_stream_claim(:process, :claim) AS found;

-- name: scatter_stuck_chunk(group_id int4, chunk int8) -> (found bool)
SELECT weir.scatter_stuck_chunk(:group_id, :chunk) AS found;

-- name: return_stream_claim(process int8, claim int8) -> (found bool)
SELECT weir.return_stream_claim(:process, :claim) AS found;

-- name: rescue_stream_claims() -> (rescued int8)
SELECT weir.rescue_stream_claims() AS rescued;

-- name: stream_group_has_more(group_id int4) -> (more bool)
-- Before it, on its way, or to be tried again.
-- A paused group has nothing.
SELECT EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
       AND (EXISTS (SELECT FROM weir.stream_work w WHERE w.group_id = :group_id)
            OR EXISTS (SELECT FROM weir.stream_letter l WHERE l.group_id = :group_id AND l.next_at IS NOT NULL)
            OR EXISTS (SELECT FROM weir.stream_claim c WHERE c.group_id = :group_id)
            OR EXISTS (SELECT FROM weir.stream_group g JOIN weir.stream_lane l ON l.group_id = g.id
                        WHERE g.id = :group_id AND l.done_chunk < weir.last_stream_chunk(g.stream_id))) AS more;

-- name: stream_letters_due(group_id int4) -> (due_ms int8?)
-- In how long the next one is tried again, or a lane that stays at an event; null: there is none.
SELECT ceil(extract(epoch FROM least(l.at, n.at) - clock_timestamp()) * 1000)::int8 AS due_ms
  FROM (SELECT min(o.next_at) AS at FROM weir.stream_letter o JOIN weir.stream_group g ON g.id = o.group_id AND NOT g.paused
         WHERE o.group_id = :group_id AND o.next_at IS NOT NULL AND o.worker_id IS NULL) l,
       (SELECT min(o.retry_at) AS at FROM weir.stream_lane o JOIN weir.stream_group g ON g.id = o.group_id AND NOT g.paused
         WHERE o.group_id = :group_id AND o.retry_at IS NOT NULL AND o.worker_id IS NULL) n;

-- name: stream_group_settings(group_id int4) -> (
--   name text, paused bool, max_attempts int2, backoff_ms int8, backoff_cap_ms int8, lanes int4)
SELECT g.name, g.paused, g.max_attempts, g.backoff_ms, g.backoff_cap_ms, g.lanes FROM weir.stream_group g WHERE g.id = :group_id;

-- name: lead_stream_cuts(stream int4) -> (leads bool)
-- For as long as the session lasts.
SELECT pg_try_advisory_lock(hashtextextended('weir.stream_cutter:' || :stream::int4, 0)) AS leads;
