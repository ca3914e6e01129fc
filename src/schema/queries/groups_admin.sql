-- What people ask of feeds and batches (`weir feed`, `weir batch`, `weir group status`). See migrations/021_groups.sql for what
-- is where. Nothing here reads history but by run, by sink and state, or by time.

-- name: list_feeds() -> (
--   id int4, name text, max_attempts int4, backoff_ms int8, lease_ms int8, keep_ms int8, stranded_ms int8,
--   created_at timestamptz)
SELECT f.id, f.name, f.max_attempts::int4 AS max_attempts, f.backoff_ms, f.lease_ms, f.keep_ms, f.stranded_ms, f.created_at
  FROM weir.feed f ORDER BY f.name;

-- name: list_feed_sinks(feed int4?) -> (id int4, feed_id int4, name text, after text?, paused bool, created_at timestamptz)
SELECT k.id, k.feed_id, k.name, a.name AS after, k.paused, k.created_at
  FROM weir.feed_sink k LEFT JOIN weir.feed_sink a ON a.id = k.after_id
 WHERE :feed::int4 IS NULL OR k.feed_id = :feed::int4
 ORDER BY k.feed_id, k.id;

-- name: create_feed(name text, max_attempts int4?, backoff_ms int8?, lease_ms int8?, keep_ms int8?, stranded_ms int8?) -> (id int4)
-- No row where it is there already. Without a value the default of `weir.feed`, which the feed 'default' was made with.
INSERT INTO weir.feed (name, max_attempts, backoff_ms, lease_ms, keep_ms, stranded_ms)
VALUES (:name, coalesce(:max_attempts::int4, 3), coalesce(:backoff_ms::int8, 15000), coalesce(:lease_ms::int8, 60000),
        coalesce(:keep_ms::int8, 604800000), coalesce(:stranded_ms::int8, 21600000))
ON CONFLICT (name) DO NOTHING
RETURNING id;

-- name: set_feed(feed int4, max_attempts int4?, backoff_ms int8?, lease_ms int8?, keep_ms int8?, stranded_ms int8?)
UPDATE weir.feed f
   SET max_attempts = coalesce(:max_attempts::int4, f.max_attempts), backoff_ms = coalesce(:backoff_ms::int8, f.backoff_ms),
       lease_ms = coalesce(:lease_ms::int8, f.lease_ms), keep_ms = coalesce(:keep_ms::int8, f.keep_ms),
       stranded_ms = coalesce(:stranded_ms::int8, f.stranded_ms)
 WHERE f.id = :feed;

-- name: pause_feed_sink(sink int4, paused bool) -> (changed bool)
UPDATE weir.feed_sink k SET paused = :paused::bool FROM weir.feed_sink o
 WHERE k.id = :sink AND o.id = k.id
RETURNING o.paused <> k.paused AS changed;

-- name: lock_feed(feed int4) -> (locked bool)
-- Against producers, and sinks that are added, until the transaction ends.
SELECT pg_advisory_xact_lock(weir.feed_lock(:feed)) IS NOT NULL AS locked;

-- name: feed_groups_in_flight(feed int4) -> (owner text?, groups int8)
SELECT min(h.owner) AS owner, count(*) AS groups
  FROM weir.feed_sink k JOIN weir.group_hold h ON h.sink_id = k.id WHERE k.feed_id = :feed;

-- name: drop_feed(feed int4)
-- What was submitted and what became of it goes with its days: nobody finds it any more.
WITH sinks AS (
  SELECT k.id FROM weir.feed_sink k WHERE k.feed_id = :feed
), steps AS (
  DELETE FROM weir.batch_step s USING sinks k WHERE s.sink_id = k.id
), runs AS (
  DELETE FROM weir.batch_run r WHERE r.feed_id = :feed RETURNING r.id
), turns AS (
  DELETE FROM weir.batch_turn t USING runs r WHERE t.run_id = r.id
), gone AS (
  DELETE FROM weir.feed_sink k WHERE k.feed_id = :feed
)
DELETE FROM weir.feed f WHERE f.id = :feed;

-- name: submit_batch(tenant text, key text, payload jsonb, run text?, idx int4?, final bool?, feed text, rows int8?, bytes int8?,
--   supersede bool) -> (id text)
SELECT weir.submit_batch(:tenant, :key, :payload, :run, :idx, :final, :feed, :rows, :bytes, :supersede) AS id;

-- name: submit_batch_lines(lines jsonb[], feed text) -> (id text)
-- One after the other, as they stand.
SELECT weir.submit_batch(l.line->>'tenant', l.line->>'key', l.line->'payload', l.line->>'run', (l.line->>'index')::int4,
                         (l.line->>'final')::bool, :feed, (l.line->>'rows')::int8, (l.line->>'bytes')::int8) AS id
  FROM (SELECT u.line FROM unnest(:lines::jsonb[]) WITH ORDINALITY u(line, place) ORDER BY u.place) l;

-- name: newest_batches(feed int4?, sink int4?, tenant text?, key text?, run text?, run_id int8?, idx int4?, state text?, most int8) -> (
--   run_id int8, idx int4, tenant text, key text, run text?, feed text, sink text, created_at timestamptz, state text,
--   attempt int4, changed_at timestamptz?, next_at timestamptz?, owner text?, error text?)
-- Runs are numbered as they come: the newest are found from the end. With `state` only for the batches of one run.
SELECT x.run_id, x.idx, x.tenant, x.key, x.run, f.name AS feed, k.name AS sink, x.created_at, s.state, s.attempt, s.changed_at,
       s.next_at, s.owner, s.error
  FROM (SELECT r.id AS run_id, r.tenant, r.key, r.run, r.feed_id, b.idx, b.created_at
          FROM (SELECT * FROM weir.batch_run o
                 WHERE (:feed::int4 IS NULL OR o.feed_id = :feed::int4) AND (:tenant::text IS NULL OR o.tenant = :tenant::text)
                   AND (:key::text IS NULL OR o.key = :key::text) AND (:run::text IS NULL OR o.run = :run::text)
                   AND (:run_id::int8 IS NULL OR o.id = :run_id::int8)
                 ORDER BY o.id DESC LIMIT :most::int8) r
         CROSS JOIN LATERAL (SELECT p.idx, p.created_at FROM weir.batch p
                              WHERE p.run_at = r.created_at AND p.run_id = r.id AND (:idx::int4 IS NULL OR p.idx = :idx::int4)
                              ORDER BY p.idx DESC LIMIT CASE WHEN :state::text IS NULL THEN :most::int8 END) b
         LIMIT CASE WHEN :state::text IS NULL THEN :most::int8 END) x
  JOIN weir.feed f ON f.id = x.feed_id
  JOIN weir.feed_sink k ON k.feed_id = x.feed_id AND (:sink::int4 IS NULL OR k.id = :sink::int4)
 CROSS JOIN LATERAL weir.batch_at(k.id, x.tenant, x.key, x.run_id, x.idx) s
 WHERE :state::text IS NULL OR s.state = :state::text
 ORDER BY x.run_id DESC, x.idx DESC, k.id LIMIT :most::int8;

-- name: open_batches(sinks int4[], tenant text?, key text?, state text, most int8) -> (
--   run_id int8, idx int4, tenant text, key text, run text?, feed text, sink text, created_at timestamptz, state text,
--   attempt int4, changed_at timestamptz?, next_at timestamptz?, owner text?, error text?)
-- As they will be taken: by sink, group, run and index.
SELECT s.run_id, s.idx, s.tenant, s.key, r.run, f.name AS feed, k.name AS sink, b.created_at, s.state, s.attempt::int4 AS attempt,
       s.changed_at, s.next_at, NULL::text AS owner, weir.why_waiting(s.step) AS error
  FROM (SELECT o.*, o AS step FROM weir.batch_step o
         WHERE o.sink_id = ANY (:sinks::int4[]) AND (:tenant::text IS NULL OR o.tenant = :tenant::text)
           AND (:key::text IS NULL OR o.key = :key::text) AND o.state = :state::text
         ORDER BY o.sink_id, o.tenant, o.key, o.run_id, o.idx LIMIT :most::int8) s
  JOIN weir.feed_sink k ON k.id = s.sink_id
  JOIN weir.feed f ON f.id = k.feed_id
  JOIN weir.batch_run r ON r.id = s.run_id
  JOIN weir.batch b ON b.run_at = s.run_at AND b.run_id = s.run_id AND b.idx = s.idx
 ORDER BY s.sink_id, s.tenant, s.key, s.run_id, s.idx;

-- name: executing_batches(sinks int4[], tenant text?, key text?, most int8) -> (
--   run_id int8, idx int4, tenant text, key text, run text?, feed text, sink text, created_at timestamptz, state text,
--   attempt int4, changed_at timestamptz?, next_at timestamptz?, owner text?, error text?)
-- The oldest first. By way of those who have them: as many rows as there are groups in flight.
SELECT s.run_id, s.idx, s.tenant, s.key, r.run, f.name AS feed, k.name AS sink, b.created_at, s.state, s.attempt::int4 AS attempt,
       s.changed_at, s.next_at, h.owner, s.error
  FROM weir.group_hold h
  JOIN weir.batch_step s ON s.sink_id = h.sink_id AND s.tenant = h.tenant AND s.key = h.key AND s.run_id = h.run_id AND s.idx = h.idx
  JOIN weir.feed_sink k ON k.id = s.sink_id
  JOIN weir.feed f ON f.id = k.feed_id
  JOIN weir.batch_run r ON r.id = s.run_id
  JOIN weir.batch b ON b.run_at = s.run_at AND b.run_id = s.run_id AND b.idx = s.idx
 WHERE h.sink_id = ANY (:sinks::int4[]) AND (:tenant::text IS NULL OR h.tenant = :tenant::text)
   AND (:key::text IS NULL OR h.key = :key::text) AND s.state = 'executing'
 ORDER BY h.begun_at LIMIT :most::int8;

-- name: ended_batches(sinks int4[], tenant text?, key text?, outcome text, since timestamptz?, most int8) -> (
--   run_id int8, idx int4, tenant text, key text, run text?, feed text, sink text, created_at timestamptz, state text,
--   attempt int4, changed_at timestamptz?, next_at timestamptz?, owner text?, error text?)
-- The last to end first; those that were brought back since are left out. Failures have an index; successes are looked for
-- from `since` on.
SELECT a.run_id, a.idx, r.tenant, r.key, r.run, f.name AS feed, k.name AS sink, b.created_at, a.outcome AS state,
       a.attempt::int4 AS attempt, a.ended_at AS changed_at, NULL::timestamptz AS next_at, a.owner, a.error
  FROM weir.batch_attempt a
  JOIN weir.feed_sink k ON k.id = a.sink_id
  JOIN weir.feed f ON f.id = k.feed_id
  JOIN weir.batch_run r ON r.id = a.run_id
  JOIN weir.batch b ON b.run_at = a.run_at AND b.run_id = a.run_id AND b.idx = a.idx
 WHERE a.sink_id = ANY (:sinks::int4[]) AND a.outcome = :outcome::text
   AND (:since::timestamptz IS NULL OR a.ended_at >= :since::timestamptz)
   AND (:tenant::text IS NULL OR r.tenant = :tenant::text) AND (:key::text IS NULL OR r.key = :key::text)
   AND NOT EXISTS (SELECT FROM weir.batch_step s WHERE s.sink_id = a.sink_id AND s.tenant = r.tenant AND s.key = r.key
                      AND s.run_id = a.run_id AND s.idx = a.idx)
   AND NOT EXISTS (SELECT FROM weir.batch_attempt n WHERE n.run_id = a.run_id AND n.sink_id = a.sink_id AND n.idx = a.idx
                      AND n.ended_at > a.ended_at)
 ORDER BY a.ended_at DESC LIMIT :most::int8;

-- name: batch_payload(run_id int8, idx int4) -> (
--   feed_id int4, feed text, tenant text, key text, run text?, run_at timestamptz, last_idx int4?, superseded_by int8?,
--   created_at timestamptz, final bool, rows int8?, bytes int8?, payload jsonb)
SELECT r.feed_id, f.name AS feed, r.tenant, r.key, r.run, r.created_at AS run_at, r.last_idx,
       weir.superseded_by(r.feed_id, r.tenant, r.key, r.id) AS superseded_by, b.created_at, b.final,
       b.rows, b.bytes, b.payload
  FROM weir.batch_run r
  JOIN weir.feed f ON f.id = r.feed_id
  JOIN weir.batch b ON b.run_at = r.created_at AND b.run_id = r.id AND b.idx = :idx
 WHERE r.id = :run_id;

-- name: batch_attempts(run_id int8, idx int4) -> (
--   sink text, attempt int4, outcome text, begun_at timestamptz?, ended_at timestamptz, owner text?, error text?)
SELECT k.name AS sink, a.attempt::int4 AS attempt, a.outcome, a.begun_at, a.ended_at, a.owner, a.error
  FROM weir.batch_attempt a JOIN weir.feed_sink k ON k.id = a.sink_id
 WHERE a.run_id = :run_id AND a.idx = :idx
 ORDER BY k.id, a.ended_at;

-- name: batch_run_at_sinks(run_id int8) -> (
--   sink_id int4?, sink text?, after_id int4?, feed_id int4, feed text, tenant text, key text, run text?, last_idx int4?,
--   superseded_by text?, next_idx int4, failed bool, error text?, open int8)
-- One row for each sink of its feed, and one where there is none. `open`: batches that are before the sink.
SELECT k.id AS sink_id, k.name AS sink, k.after_id, r.feed_id, f.name AS feed, r.tenant, r.key, r.run, r.last_idx,
       (SELECT coalesce(o.run, o.id::text) FROM weir.batch_run o WHERE o.id = weir.superseded_by(r.feed_id, r.tenant, r.key, r.id)) AS superseded_by,
       coalesce(t.next_idx, 0) AS next_idx, coalesce(t.failed, false) AS failed, t.error,
       (SELECT count(*) FROM weir.batch_step s WHERE s.sink_id = k.id AND s.tenant = r.tenant AND s.key = r.key AND s.run_id = r.id) AS open
  FROM weir.batch_run r
  JOIN weir.feed f ON f.id = r.feed_id
  LEFT JOIN weir.feed_sink k ON k.feed_id = r.feed_id
  LEFT JOIN weir.batch_turn t ON t.run_id = r.id AND t.sink_id = k.id
 WHERE r.id = :run_id
 ORDER BY k.id;

-- name: retry_batch_run(sink int4, run_id int8) -> (batches int4)
SELECT weir.retry_batch_run(:sink, :run_id) AS batches;

-- name: fail_batch_run(sink int4, tenant text, key text, run_id int8, reason text) -> (batches int4)
SELECT weir.fail_batch_run(:sink, :tenant, :key, :run_id, :reason) AS batches;

-- name: sink_lag(feed int4?, sink int4?) -> (
--   feed text, sink text, after text?, paused bool, waiting int8, retrying int8, claimable int8, in_flight int8, executing int8,
--   failed_runs int8, oldest_seconds float8?)
-- Reads what is before the sinks, and no history. `waiting`: batches that nobody has begun; `claimable`: groups that nobody
-- has and whose next batch could begin now; `oldest_seconds`: how long the oldest of the waiting has been before its sink.
SELECT f.name AS feed, k.name AS sink, a.name AS after, k.paused, w.waiting, w.retrying, c.claimable, h.in_flight, h.executing,
       (SELECT count(*) FROM weir.batch_turn t WHERE t.sink_id = k.id AND t.failed) AS failed_runs,
       extract(epoch FROM clock_timestamp() - w.oldest_at)::float8 AS oldest_seconds
  FROM weir.feed_sink k
  JOIN weir.feed f ON f.id = k.feed_id
  LEFT JOIN weir.feed_sink a ON a.id = k.after_id
 CROSS JOIN LATERAL (
   SELECT count(*) AS waiting, count(*) FILTER (WHERE s.state = 'waiting_retry') AS retrying, min(s.changed_at) AS oldest_at
     FROM weir.batch_step s WHERE s.sink_id = k.id AND s.state <> 'executing') w
 CROSS JOIN LATERAL (
   WITH RECURSIVE heads AS (
     (SELECT s.tenant, s.key, s.run_id, s.idx, s.state, s.next_at FROM weir.batch_step s
       WHERE s.sink_id = k.id ORDER BY s.tenant, s.key, s.run_id, s.idx LIMIT 1)
     UNION ALL
     SELECT n.tenant, n.key, n.run_id, n.idx, n.state, n.next_at FROM heads g
      CROSS JOIN LATERAL (SELECT s.tenant, s.key, s.run_id, s.idx, s.state, s.next_at FROM weir.batch_step s
                           WHERE s.sink_id = k.id AND (s.tenant, s.key) > (g.tenant, g.key)
                           ORDER BY s.tenant, s.key, s.run_id, s.idx LIMIT 1) n)
   SELECT CASE WHEN k.paused THEN 0 ELSE count(*) END AS claimable
     FROM heads g LEFT JOIN weir.batch_turn t ON t.run_id = g.run_id AND t.sink_id = k.id
    WHERE (g.state = 'pending' OR g.state = 'waiting_retry' AND g.next_at <= clock_timestamp())
      AND (coalesce(t.next_idx, 0) >= g.idx OR t.failed
           OR EXISTS (SELECT FROM weir.batch_run r
                       WHERE r.id = g.run_id AND weir.superseded_by(r.feed_id, r.tenant, r.key, r.id) IS NOT NULL))
      AND NOT EXISTS (SELECT FROM weir.group_hold o WHERE o.sink_id = k.id AND o.tenant = g.tenant AND o.key = g.key)) c
 CROSS JOIN LATERAL (
   SELECT count(*) AS in_flight, count(o.run_id) AS executing FROM weir.group_hold o WHERE o.sink_id = k.id) h
 WHERE (:feed::int4 IS NULL OR k.feed_id = :feed::int4) AND (:sink::int4 IS NULL OR k.id = :sink::int4)
 ORDER BY f.name, k.id;

-- name: groups_in_flight(feed int4?, sink int4?, most int8) -> (
--   feed text, sink text, tenant text, key text, owner text, by_lock bool, pid int4, run_id int8?, idx int4?, attempt int4?,
--   held_seconds float8, begun_seconds float8?, beat_seconds float8, lease_seconds float8?)
-- Those of whom nothing was heard for the longest time first. `lease_seconds`: what is left of a lease; null while a transaction
-- holds the group for as long as it takes, and of one that is held by lock.
SELECT f.name AS feed, k.name AS sink, h.tenant, h.key, h.owner, h.lock_key IS NOT NULL AS by_lock, h.pid, h.run_id, h.idx,
       h.attempt::int4 AS attempt, extract(epoch FROM clock_timestamp() - h.taken_at)::float8 AS held_seconds,
       extract(epoch FROM clock_timestamp() - h.begun_at)::float8 AS begun_seconds,
       extract(epoch FROM clock_timestamp() - h.beat_at)::float8 AS beat_seconds,
       CASE WHEN h.lock_key IS NULL AND h.expires_at < 'infinity'
            THEN extract(epoch FROM h.expires_at - clock_timestamp()) END::float8 AS lease_seconds
  FROM weir.group_hold h
  JOIN weir.feed_sink k ON k.id = h.sink_id
  JOIN weir.feed f ON f.id = k.feed_id
 WHERE (:feed::int4 IS NULL OR k.feed_id = :feed::int4) AND (:sink::int4 IS NULL OR k.id = :sink::int4)
 ORDER BY h.beat_at LIMIT :most::int8;
