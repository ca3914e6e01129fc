-- Groups that are kept in order, by lanes. See migrations/039_stream_lanes.sql.

-- name: make_ordered_stream_group(stream int4, name text, from_at timestamptz?, lanes int4) -> (id int4)
SELECT weir.make_ordered_stream_group(:stream, :name, :from_at, :lanes) AS id;

-- name: stream_key_type(schema_name text, table_name text, column_name text) -> (type text, is_steady bool)
-- Whether every session writes its values alike, at all times, and those that are equal alike and no others. Times, floats and bytes go by
-- settings; the labels of an enum can be renamed; 1.0 and 1.00 are equal, and so are texts of a collation that says so. Of types that are
-- not known nobody can tell.
SELECT pg_catalog.format_type(a.atttypid, NULL)
       || coalesce((SELECT ' COLLATE ' || o.collname::text FROM pg_catalog.pg_collation o
                     WHERE o.oid = a.attcollation AND NOT o.collisdeterministic), '') AS type,
       b.typnamespace = 'pg_catalog'::regnamespace
       AND b.typname IN ('text', 'varchar', 'bpchar', 'name', 'bool', 'int2', 'int4', 'int8', 'oid', 'xid8', 'uuid', 'inet', 'cidr',
                         'macaddr', 'macaddr8')
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_collation o WHERE o.oid = a.attcollation AND NOT o.collisdeterministic) AS is_steady
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
 WHERE n.nspname = :schema_name::text AND c.relname = :table_name::text AND a.attname = :column_name::text
   AND a.attnum > 0 AND NOT a.attisdropped;

-- name: take_stream_lane(group_id int4, stream int4, but int8[]) -> (
--   lane int4, done_chunk int8, part_chunk int8?, part_xid int8?, part_event int8?, since timestamptz?, since_upto int8?,
--   failed_event int8?, attempt int2, most int4?, killed int2, newest int8)
-- A lane that has something before it and that nobody is at, the furthest behind first: its row is locked until the transaction ends,
-- and so it is this transaction's alone. Not one in `but`. `newest`: all chunks up to it are there to be seen.
WITH cut AS MATERIALIZED (
  SELECT c.last_chunk FROM weir.stream_cut c WHERE c.stream_id = :stream ORDER BY c.number DESC LIMIT 1
)
SELECT l.lane, l.done_chunk, l.part_chunk, l.part_xid, l.part_event, l.since, l.since_upto, l.failed_event, l.attempt, l.most, l.killed,
       (SELECT c.last_chunk FROM cut c) AS newest
  FROM weir.stream_lane l
 WHERE EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
   AND l.group_id = :group_id AND l.worker_id IS NULL AND l.lane <> ALL (:but::int8[])
   AND l.done_chunk < (SELECT c.last_chunk FROM cut c) AND coalesce(l.retry_at <= clock_timestamp(), true)
 ORDER BY l.done_chunk, l.lane LIMIT 1 FOR UPDATE OF l SKIP LOCKED;

-- name: claim_stream_lane(process int8, claim int8, group_id int4, stream int4, wanted int4, but int8[]) -> (
--   lane int4, done_chunk int8, part_chunk int8?, part_xid int8?, part_event int8?, since timestamptz?, since_upto int8?,
--   failed_event int8?, attempt int2, most int4?, killed int2, newest int8)
-- As take_stream_lane, but under the lease of a process (see claim_stream_letters). `wanted`: so many events at most.
-- A lane whose next event may be one that kills (most = 1) is its process's only claim: what is counted against that event must not be
-- another's doing. So such a lane is claimed first, by who has nothing else; and who has something else claims nothing more while one is
-- free, or he would never be without.
WITH cut AS MATERIALIZED (
  SELECT c.last_chunk FROM weir.stream_cut c WHERE c.stream_id = :stream ORDER BY c.number DESC LIMIT 1
), me AS MATERIALIZED (
  SELECT p.id FROM weir.process p
   WHERE p.id = :process AND NOT p.dead AND p.first_claim <= :claim
     AND (NOT EXISTS (SELECT FROM weir.stream_claim k WHERE k.worker_id = :process)
          OR NOT EXISTS (SELECT FROM weir.stream_lane s
                          WHERE s.group_id = :group_id AND s.most = 1
                            AND (s.worker_id = :process
                                 OR s.worker_id IS NULL AND s.lane <> ALL (:but::int8[])
                                    AND s.done_chunk < (SELECT c.last_chunk FROM cut c)
                                    AND coalesce(s.retry_at <= clock_timestamp(), true))))
     FOR KEY SHARE
), picked AS MATERIALIZED (
  SELECT l.lane FROM weir.stream_lane l
   WHERE EXISTS (SELECT FROM me) AND EXISTS (SELECT FROM weir.stream_group g WHERE g.id = :group_id AND NOT g.paused)
     AND l.group_id = :group_id AND l.worker_id IS NULL AND l.lane <> ALL (:but::int8[])
     AND l.done_chunk < (SELECT c.last_chunk FROM cut c) AND coalesce(l.retry_at <= clock_timestamp(), true)
     AND (l.most IS DISTINCT FROM 1 OR NOT EXISTS (SELECT FROM weir.stream_claim k WHERE k.worker_id = :process))
   ORDER BY l.most IS DISTINCT FROM 1, l.done_chunk, l.lane LIMIT 1 FOR UPDATE OF l SKIP LOCKED
), claim AS (
  INSERT INTO weir.stream_claim (worker_id, number, group_id, work)
  SELECT :process, :claim, :group_id, '{}' WHERE EXISTS (SELECT FROM picked)
)
UPDATE weir.stream_lane l SET worker_id = :process, claim = :claim, taken = least(l.most, :wanted::int4)
  FROM picked p
 WHERE l.group_id = :group_id AND l.lane = p.lane
RETURNING l.lane, l.done_chunk, l.part_chunk, l.part_xid, l.part_event, l.since, l.since_upto, l.failed_event, l.attempt, l.most, l.killed,
          (SELECT c.last_chunk FROM cut c) AS newest;

-- name: stream_lane_chunks(stream int4, above int8, since timestamptz?, since_upto int8?, wanted int4) -> (
--   number int8, since timestamptz?, from_xid int8, to_xid int8, after_event int8?, last_event int8?,
--   events int8, first_at timestamptz, last_at timestamptz, open int8[], late int8[])
-- The next ones of a lane, without those that the group was set to skip.
SELECT c.number, CASE WHEN c.number <= :since_upto::int8 AND c.first_at < :since::timestamptz THEN :since::timestamptz END AS since,
       c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at, c.last_at, c.open, c.late
  FROM weir.stream_chunk c
 WHERE c.stream_id = :stream AND c.number > :above
   AND NOT coalesce(c.number <= :since_upto::int8 AND c.last_at < :since::timestamptz, false)
 ORDER BY c.number LIMIT :wanted::int4;

-- name: leave_stream_lane(group_id int4, lane int4, done_chunk int8, part_chunk int8?, part_xid int8?, part_event int8?,
--   failed_event int8?, attempt int2, delay_ms int8?, error text?, most int4?)
-- How far it has come; others may have it now. Without `delay_ms` it may be taken at once, without `error` it stays that of before,
-- as long as the lane stays at an event.
UPDATE weir.stream_lane l
   SET done_chunk = :done_chunk, part_chunk = :part_chunk, part_xid = :part_xid, part_event = :part_event,
       failed_event = :failed_event, attempt = :attempt, retry_at = clock_timestamp() + :delay_ms::int8 * interval '1 ms',
       failed_at = CASE WHEN :error::text IS NOT NULL THEN clock_timestamp() WHEN :failed_event::int8 IS NOT NULL THEN l.failed_at END,
       error = CASE WHEN :failed_event::int8 IS NOT NULL THEN coalesce(:error::text, l.error) END,
       worker_id = NULL, claim = NULL, taken = NULL, most = :most, killed = 0
 WHERE l.group_id = :group_id AND l.lane = :lane;

-- name: stream_lanes(stream int4) -> (
--   group_name text, lane int4, is_slowest bool, chunks int8, cut_at timestamptz?, failed_event int8?, attempt int2,
--   retry_at timestamptz?, error text?)
-- Of each group that is kept in order: the lane that is furthest behind, and those that stay at an event that failed.
SELECT g.name AS group_name, l.lane, l.lane = f.lane AS is_slowest, b.chunks, b.cut_at, l.failed_event, l.attempt, l.retry_at, l.error
  FROM weir.stream_group g
 CROSS JOIN LATERAL (SELECT o.lane FROM weir.stream_lane o WHERE o.group_id = g.id ORDER BY o.done_chunk, o.lane LIMIT 1) f
  JOIN weir.stream_lane l ON l.group_id = g.id AND (l.lane = f.lane OR l.failed_event IS NOT NULL)
 CROSS JOIN LATERAL (
   SELECT count(*) AS chunks, min(k.cut_at) AS cut_at FROM weir.stream_chunk k
    WHERE k.stream_id = g.stream_id AND k.number > l.done_chunk
      AND NOT coalesce(k.number <= l.since_upto AND k.last_at < l.since, false)) b
 WHERE g.stream_id = :stream
 ORDER BY g.name, l.done_chunk, l.lane LIMIT 1000;
