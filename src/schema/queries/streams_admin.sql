-- What people ask of streams (`weir stream`). See migrations/020_streams.sql for what is where.

-- name: list_streams() -> (
--   name text, schema_name text, table_name text, groups int4, partitions int4, bytes int8?,
--   oldest_at timestamptz?, newest_at timestamptz?, waiting int8?)
-- `bytes` is null where the table is gone; `waiting` is what the group that is furthest behind has before it.
SELECT s.name, s.schema_name, s.table_name,
       (SELECT count(*) FROM weir.stream_group g WHERE g.stream_id = s.id)::int4 AS groups, coalesce(p.partitions, 0)::int4 AS partitions,
       CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_total_relation_size(c.oid) WHEN c.oid IS NOT NULL THEN coalesce(p.bytes, 0) END::int8 AS bytes,
       (SELECT k.first_at FROM weir.stream_chunk k WHERE k.stream_id = s.id ORDER BY k.number LIMIT 1) AS oldest_at,
       (SELECT k.last_at FROM weir.stream_chunk k WHERE k.stream_id = s.id ORDER BY k.number DESC LIMIT 1) AS newest_at,
       (SELECT max(w.events) FROM weir.stream_group g CROSS JOIN LATERAL (
          SELECT ((SELECT coalesce(sum(k.events), 0)
                     FROM weir.stream_work u JOIN weir.stream_chunk k ON k.stream_id = s.id AND k.number = u.chunk
                    WHERE u.group_id = g.id)
                  + (SELECT coalesce(sum(v.events), 0) FROM weir.stream_lane_work v WHERE v.group_id = g.id))::int8 AS events) w
         WHERE g.stream_id = s.id) AS waiting
  FROM weir.stream s
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
  LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.table_name
  LEFT JOIN LATERAL (SELECT count(*) AS partitions, sum(pg_catalog.pg_total_relation_size(i.inhrelid)) AS bytes
                       FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) p ON true
 ORDER BY s.name;

-- name: stream_rights(stream int4) -> (owner text?, may_read bool, owns bool, me text)
-- Without an owner the table is gone.
SELECT pg_catalog.pg_get_userbyid(c.relowner)::text AS owner, coalesce(has_table_privilege(c.oid, 'SELECT'), false) AS may_read,
       coalesce(pg_has_role(c.relowner, 'USAGE'), false) AS owns, current_user::text AS me
  FROM weir.stream s
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = s.schema_name
  LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.table_name
 WHERE s.id = :stream;

-- name: stream_overview(stream int4) -> (
--   created_at timestamptz, now timestamptz, cut_number int8, cut_at timestamptz, here bool,
--   oldest_at timestamptz?, newest_at timestamptz?, chunks int8)
-- `here`: the numbers of transactions are this server's.
SELECT s.created_at, clock_timestamp() AS now, k.number AS cut_number, k.cut_at,
       s.server_id = (SELECT p.system_identifier FROM pg_catalog.pg_control_system() p) AS here,
       (SELECT min(c.first_at) FROM weir.stream_chunk c WHERE c.stream_id = s.id) AS oldest_at,
       (SELECT max(c.last_at) FROM weir.stream_chunk c WHERE c.stream_id = s.id) AS newest_at,
       (SELECT count(*) FROM weir.stream_chunk c WHERE c.stream_id = s.id) AS chunks
  FROM weir.stream s
  JOIN LATERAL (SELECT * FROM weir.stream_cut c WHERE c.stream_id = s.id ORDER BY c.number DESC LIMIT 1) k ON true
 WHERE s.id = :stream;

-- name: stream_groups(stream int4, only int4?) -> (
--   id int4, name text, paused bool, max_attempts int2, backoff_ms int8, backoff_cap_ms int8, consumers int4,
--   chunks int8, events int8, claimed int8, again int8, dead int8, lost int8, oldest_cut_at timestamptz?,
--   oldest_at timestamptz?, lanes int4)
-- How far each group is; `only`: this one. Consumers are processes that can be woken. Where it is kept in order what lanes have not had is
-- reckoned, as if a chunk's events were spread over them; a lane that stays at an event counts in `again`.
SELECT g.id, g.name, g.paused, g.max_attempts, g.backoff_ms, g.backoff_cap_ms,
       (SELECT count(*) FROM weir.listener l JOIN weir.process p ON p.id = l.process_id
         WHERE l.topic = 'stream:' || g.id AND NOT p.dead AND p.lease_until > clock_timestamp())::int4 AS consumers,
       w.chunks, w.events, k.events AS claimed,
       (SELECT count(*) FROM weir.stream_letter l WHERE l.group_id = g.id AND l.next_at IS NOT NULL AND l.worker_id IS NULL)
       + (SELECT count(*) FROM weir.stream_letter l WHERE l.group_id = g.id AND l.worker_id IS NOT NULL)
       + (SELECT count(*) FROM weir.stream_lane l WHERE l.group_id = g.id AND l.failed_event IS NOT NULL) AS again,
       (SELECT count(*) FROM weir.stream_letter l WHERE l.group_id = g.id AND l.next_at IS NULL) AS dead,
       g.lost_events AS lost, least(w.cut_at, k.cut_at) AS oldest_cut_at, least(w.first_at, k.first_at) AS oldest_at, g.lanes
  FROM weir.stream_group g
  CROSS JOIN LATERAL (
    SELECT count(*) AS chunks, coalesce(sum(coalesce(u.events, c.events)), 0)::int8 AS events, min(c.cut_at) AS cut_at,
           min(greatest(c.first_at, u.since)) AS first_at
      FROM (SELECT o.chunk, o.since, NULL::int8 AS events FROM weir.stream_work o WHERE o.group_id = g.id
            UNION ALL
            SELECT v.chunk, v.since, v.events FROM weir.stream_lane_work v WHERE v.group_id = g.id) u
           JOIN weir.stream_chunk c ON c.stream_id = g.stream_id AND c.number = u.chunk) w
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.events), 0)::int8 AS events, min(c.cut_at) AS cut_at, min(greatest(c.first_at, u.since)) AS first_at
      FROM weir.stream_claim q CROSS JOIN LATERAL unnest(q.work) u
           JOIN weir.stream_chunk c ON c.stream_id = g.stream_id AND c.number = u.chunk
     WHERE q.group_id = g.id) k
 WHERE g.stream_id = :stream AND (:only::int4 IS NULL OR g.id = :only::int4)
 ORDER BY g.name;

-- name: stream_group_names(stream int4) -> (id int4, name text)
SELECT g.id, g.name FROM weir.stream_group g WHERE g.stream_id = :stream ORDER BY g.name;

-- name: stream_chunks_before(group_id int4, most int4) -> (
--   number int8, since timestamptz?, from_xid int8, to_xid int8, after_event int8?, last_event int8?,
--   events int8, first_at timestamptz, last_at timestamptz, open int8[], late int8[])
-- What the group takes next, untouched; of one that is kept in order, what any of its lanes has not had.
SELECT c.number, w.since, c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at, c.last_at, c.open, c.late
  FROM (SELECT o.group_id, o.chunk, o.since FROM weir.stream_work o WHERE o.group_id = :group_id
        UNION ALL
        SELECT v.group_id, v.chunk, v.since FROM weir.stream_lane_work v WHERE v.group_id = :group_id) w
       JOIN weir.stream_group g ON g.id = w.group_id
       JOIN weir.stream_chunk c ON c.stream_id = g.stream_id AND c.number = w.chunk
 ORDER BY w.chunk LIMIT :most::int4;

-- name: seek_stream_group(group_id int4, from_at timestamptz) -> (chunks int8)
SELECT weir.seek_stream_group(:group_id, :from_at) AS chunks;

-- name: replay_stream_chunks(stream int4, group_id int4, from_at timestamptz, to_at timestamptz) -> (events int8)
-- Puts chunks before a group once more that end before `to_at`, from `from_at` on. What waits already stays, and what a
-- process has under its lease.
WITH added AS (
  INSERT INTO weir.stream_work AS w (group_id, chunk, since)
  SELECT :group_id, c.number, CASE WHEN c.first_at < :from_at THEN :from_at END
    FROM weir.stream_chunk c
   WHERE c.stream_id = :stream AND c.last_at >= :from_at AND c.last_at < :to_at
     -- Nobody waits for who is at it.
     AND NOT EXISTS (SELECT FROM weir.stream_work o WHERE o.group_id = :group_id AND o.chunk = c.number AND o.since IS NULL)
     AND NOT EXISTS (SELECT FROM weir.stream_claim k CROSS JOIN LATERAL unnest(k.work) u
                      WHERE k.group_id = :group_id AND u.chunk = c.number)
  ON CONFLICT (group_id, chunk) DO UPDATE
     SET since = CASE WHEN excluded.since IS NOT NULL THEN least(w.since, excluded.since) END
   WHERE w.since IS NOT NULL AND (excluded.since IS NULL OR excluded.since < w.since)
  RETURNING w.chunk
)
SELECT coalesce(sum(c.events), 0)::int8 AS events
  FROM added a JOIN weir.stream_chunk c ON c.stream_id = :stream AND c.number = a.chunk;

-- name: stream_chunks_across(stream int4, group_id int4, from_at timestamptz, to_at timestamptz) -> (
--   number int8, since timestamptz?, waits bool, from_xid int8, to_xid int8, after_event int8?, last_event int8?,
--   events int8, first_at timestamptz, last_at timestamptz, open int8[], late int8[])
-- Chunks that have events before `to_at`, and behind it; what a process has under its lease is left out.
SELECT c.number, w.since, w.chunk IS NOT NULL AS waits, c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at,
       c.last_at, c.open, c.late
  FROM weir.stream_chunk c LEFT JOIN weir.stream_work w ON w.group_id = :group_id AND w.chunk = c.number
 WHERE c.stream_id = :stream AND c.first_at < :to_at AND c.last_at >= :to_at AND c.last_at >= :from_at
   AND NOT EXISTS (SELECT FROM weir.stream_claim k CROSS JOIN LATERAL unnest(k.work) u
                    WHERE k.group_id = :group_id AND u.chunk = c.number)
 ORDER BY c.number;

-- name: list_dead_letters(group_id int4, most int8) -> (
--   event_id int8, at timestamptz, failed_at timestamptz, attempt int2, error text, event text)
SELECT l.event_id, l.at, l.failed_at, l.attempt, l.error, l.event::text AS event
  FROM weir.stream_letter l WHERE l.group_id = :group_id AND l.next_at IS NULL
 ORDER BY l.id DESC LIMIT :most::int8;

-- name: replay_dead_letters(group_id int4, events int8[]?, most int4) -> (
--   replayed int8, different int8)
-- At once, with no attempt counted. `alone` stays: one that killed a process still comes by itself.
WITH dead AS (
  SELECT l.id FROM weir.stream_letter l
   WHERE l.group_id = :group_id AND l.next_at IS NULL AND (:events::int8[] IS NULL OR l.event_id = ANY (:events::int8[]))
   ORDER BY l.id LIMIT :most::int4 FOR UPDATE
), again AS (
  UPDATE weir.stream_letter l SET next_at = clock_timestamp(), attempt = 0 FROM dead d WHERE l.id = d.id RETURNING l.event_id
)
SELECT count(*) AS replayed, count(DISTINCT a.event_id) AS different FROM again a;

-- name: pause_stream_group(group_id int4, paused bool) -> (changed bool)
UPDATE weir.stream_group g SET paused = :paused::bool FROM weir.stream_group o
 WHERE g.id = :group_id AND o.id = g.id
RETURNING o.paused <> g.paused AS changed;

-- name: set_stream(stream int4, ahead int4?, chunk_events int4?, hold_ms int8?, sets_retain bool, retain_ms int8?,
--   sets_bytes bool, retain_bytes int8?)
UPDATE weir.stream s
   SET ahead = coalesce(:ahead::int4, s.ahead), chunk_events = coalesce(:chunk_events::int4, s.chunk_events),
       hold_ms = coalesce(:hold_ms::int8, s.hold_ms),
       retain_ms = CASE WHEN :sets_retain::bool THEN :retain_ms::int8 ELSE s.retain_ms END,
       retain_bytes = CASE WHEN :sets_bytes::bool THEN :retain_bytes::int8 ELSE s.retain_bytes END
 WHERE s.id = :stream;

-- name: set_stream_group(group_id int4, max_attempts int2?, backoff_ms int8?, backoff_cap_ms int8?)
UPDATE weir.stream_group g
   SET max_attempts = coalesce(:max_attempts::int2, g.max_attempts), backoff_ms = coalesce(:backoff_ms::int8, g.backoff_ms),
       backoff_cap_ms = coalesce(:backoff_cap_ms::int8, g.backoff_cap_ms)
 WHERE g.id = :group_id;

-- name: empty_stream_group(group_id int4)
-- Most of what goes with it, before the group itself does: nobody cuts beside that.
WITH letters AS (
  DELETE FROM weir.stream_letter l WHERE l.group_id = :group_id
), lanes AS (
  DELETE FROM weir.stream_lane l WHERE l.group_id = :group_id
)
DELETE FROM weir.stream_work w WHERE w.group_id = :group_id;

-- name: drop_stream_group(group_id int4)
WITH claims AS (
  DELETE FROM weir.stream_claim k WHERE k.group_id = :group_id
)
DELETE FROM weir.stream_group g WHERE g.id = :group_id;

-- name: drop_stream(stream int4)
WITH claims AS (
  DELETE FROM weir.stream_claim k USING weir.stream_group g WHERE g.stream_id = :stream AND k.group_id = g.id
)
DELETE FROM weir.stream s WHERE s.id = :stream;
