-- Groups: batches in order. See migrations/021_groups.sql for what is where.

-- name: sink_definition(feed text, sink text) -> (
--   feed_id int4?, sink_id int4?, after_id int4?, after text?, max_attempts int4?, backoff_ms int8?, lease_ms int8?, stranded_ms int8?,
--   paused bool?)
-- One row; nulls where there is no such feed, or no such sink of it.
SELECT f.id AS feed_id, k.id AS sink_id, k.after_id, a.name AS after, f.max_attempts::int4 AS max_attempts, f.backoff_ms, f.lease_ms,
       f.stranded_ms, k.paused
  FROM (SELECT :feed::text AS name) w LEFT JOIN weir.feed f ON f.name = w.name
  LEFT JOIN weir.feed_sink k ON k.feed_id = f.id AND k.name = :sink::text LEFT JOIN weir.feed_sink a ON a.id = k.after_id;

-- name: add_feed_sink(feed int4, name text, after_sink int4?, from_at timestamptz?) -> (id int4)
SELECT weir.add_feed_sink(:feed, :name, :after_sink, :from_at) AS id;

-- name: ready_groups(sink int4, after_tenant text, wanted int4, tenants int4, depth int4, last_tenants text[], last_keys text[]) -> (
--   tenant text?, key text?, since timestamptz?, seen text?, last_tenant text?)
SELECT g.tenant, g.key, g.since, g.seen, g.last_tenant
  FROM weir.ready_groups(:sink, :after_tenant, :wanted, :tenants, :depth, :last_tenants, :last_keys) g;

-- name: group_work_left(sink int4) -> (left bool)
-- Whether anything will be there to be applied without anybody submitting more: not what waits for a batch that is missing, and
-- not what is behind that in its group.
SELECT EXISTS (SELECT FROM weir.group_hold h WHERE h.sink_id = :sink)
       OR EXISTS (SELECT FROM weir.batch_step s LEFT JOIN weir.batch_turn t ON t.run_id = s.run_id AND t.sink_id = s.sink_id
                   WHERE s.sink_id = :sink
                     AND (coalesce(t.next_idx, 0) >= s.idx OR t.failed
                          OR EXISTS (SELECT FROM weir.batch_run r
                                      WHERE r.id = s.run_id AND weir.superseded_by(r.feed_id, r.tenant, r.key, r.id) IS NOT NULL))
                     AND NOT EXISTS (SELECT FROM weir.batch_step e WHERE e.sink_id = s.sink_id AND e.tenant = s.tenant AND e.key = s.key
                                        AND (e.run_id, e.idx) < (s.run_id, s.idx))
                     AND NOT (SELECT k.paused FROM weir.feed_sink k WHERE k.id = :sink)) AS "left";

-- name: take_group(sink int4, tenant text, key text, owner text, space int4?, lock_key int4?, lease_ms int8) -> (
--   locked bool?, taken bool)
-- Who is to own it by lock tries that first, and keeps it where the group is somebody's all the same.
-- Nobody waits for the disk with it: a server that forgets it in a crash has ended the owner's session, too. That a batch was begun,
-- which counts its attempt, is never forgotten.
WITH l AS MATERIALIZED (SELECT pg_try_advisory_lock(:space::int4, :lock_key::int4) AS locked)
SELECT l.locked,
       CASE WHEN l.locked IS FALSE THEN false
            ELSE weir.take_group(:sink, :tenant, :key, :owner, :lock_key::int4, :lease_ms)
                 AND set_config('synchronous_commit', 'off', true) IS NOT NULL END AS taken
  FROM l;

-- name: renew_group(sink int4, tenant text, key text, owner text, lease_ms int8) -> (renewed bool)
SELECT weir.renew_group(:sink, :tenant, :key, :owner, :lease_ms)
       AND set_config('synchronous_commit', 'off', true) IS NOT NULL AS renewed;

-- name: pin_group(sink int4, tenant text, key text, owner text, lease_ms int8) -> (pinned bool)
-- Who is frozen in this transaction holds the group for a lease, and no longer.
SELECT weir.pin_group(:sink, :tenant, :key, :owner)
       AND set_config('idle_in_transaction_session_timeout', :lease_ms::int8::text, true) IS NOT NULL AS pinned;

-- name: owns_group(sink int4, tenant text, key text, owner text) -> (owns bool)
SELECT EXISTS (SELECT FROM weir.own_hold(:sink, :tenant, :key, :owner)) AS owns;

-- A payload that is large comes by a statement of its own (fetch_payload): who is frozen, or cut off, while the server sends it would
-- keep what his transaction has locked for as long as that lasts.

-- name: begin_batch(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool) -> (
--   state text, run_id int8?, run_at timestamptz?, idx int4?, attempt int4?, run text?, final bool?, rows int8?, bytes int8?,
--   created_at timestamptz?, error text?, failed int4?, payload jsonb?)
SELECT b.state, b.run_id, b.run_at, b.idx, b.attempt, b.run, b.final, b.rows, b.bytes, b.created_at, b.error, b.failed,
       CASE WHEN pg_column_size(b.payload) <= CASE WHEN pg_column_compression(b.payload) IS NULL THEN 65536 ELSE 8192 END THEN b.payload END AS payload
  FROM weir.begin_batch(:sink, :tenant, :key, :owner, :lease_ms, :max_attempts, :with_payload) b;

-- name: fetch_payload(run_id int8, run_at timestamptz, idx int4) -> (payload jsonb)
-- Of a batch that was begun without it. It locks nothing.
SELECT b.payload FROM weir.batch b WHERE b.run_at = :run_at AND b.run_id = :run_id AND b.idx = :idx;

-- name: end_batch(sink int4, tenant text, key text, owner text, lease_ms int8, outcome text, error text?, delay_ms int8?) -> (
--   accepted bool)
SELECT weir.end_batch(:sink, :tenant, :key, :owner, :lease_ms, :outcome, :error, :delay_ms) AS accepted;

-- name: end_and_begin_batch(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool) -> (
--   accepted bool, state text, run_id int8?, run_at timestamptz?, idx int4?, attempt int4?, run text?, final bool?, rows int8?,
--   bytes int8?, created_at timestamptz?, error text?, failed int4?, payload jsonb?)
SELECT b.accepted, b.state, b.run_id, b.run_at, b.idx, b.attempt, b.run, b.final, b.rows, b.bytes, b.created_at, b.error, b.failed,
       CASE WHEN pg_column_size(b.payload) <= CASE WHEN pg_column_compression(b.payload) IS NULL THEN 65536 ELSE 8192 END THEN b.payload END AS payload
  FROM weir.end_and_begin_batch(:sink, :tenant, :key, :owner, :lease_ms, :max_attempts, :with_payload) b;

-- name: release_group(sink int4, tenant text, key text, owner text, space int4?, lock_key int4?) -> (
--   released bool, unlocked bool?, asleep bool)
-- Forgotten in a crash, it is left to the sweep. The lock, where it is owned by one, goes before the row does, which it does at the end of this
-- statement: whoever sees that nobody has the group can have it. Until then the row keeps others out, and its own lock the sweep.
-- `asleep`: somebody may sleep at the sink; asked when both are gone. Whoever lies down later waits for the end of this.
WITH r AS MATERIALIZED (
  SELECT weir.release_group(:sink, :tenant, :key, :owner) AND set_config('synchronous_commit', 'off', true) IS NOT NULL AS released),
u AS MATERIALIZED (
  SELECT r.released, pg_advisory_unlock(:space::int4, :lock_key::int4) AS unlocked FROM r)
SELECT u.released, u.unlocked, CASE WHEN u.released THEN weir.is_held(weir.sleep_key('group:' || :sink::int4)) ELSE false END AS asleep
  FROM u;

-- name: wake_sink(sink int4) -> (woken bool)
SELECT weir.wake_sink(:sink) AS woken;

-- name: wake_for_group(sink int4, tenant text, key text) -> (woken bool)
-- For a group that was given up.
SELECT CASE WHEN NOT weir.is_held(weir.sleep_key('group:' || :sink::int4)) THEN false
            WHEN weir.is_wanted_group(:sink, :tenant, :key) THEN weir.wake_sink(:sink)
            ELSE false END AS woken;

-- name: sleep_at_sink(sink int4) -> (held int8)
-- models/wakeup.pml: `asleep`. It says that somebody sleeps, and keeps nobody from anything. It waits for it: one who only tries may
-- meet a producer that looks. undecided_from() and all_decided(), of work.sql, say from when on nobody can have missed it.
SELECT count(pg_advisory_lock_shared(weir.sleep_key('group:' || :sink::int4)) IS NULL) AS held;

-- name: listen_at_sink(sink int4) -> (held int8)
-- Who listens holds this for as long as his session lasts, asleep or not: see hang_up_frozen_listeners.
SELECT count(pg_advisory_lock_shared(weir.sleep_key('group-ear:' || :sink::int4)) IS NULL) AS held;

-- name: rise_at_sink(sink int4) -> (held bool)
SELECT pg_advisory_unlock_shared(weir.sleep_key('group:' || :sink::int4)) AS held;

-- name: hang_up_frozen_listeners(silent_ms int8) -> (ended bool)
-- A consumer that is frozen, or cut off, in its sleep is notified by every producer, for nothing: what all commits of the server wait for. One
-- that is awake then, and busy, is not; but what others are told stays in the server's queue until it is read, and a full one fails commits.
-- One that lives looks far more often than this. Of all sinks: often a sink has one consumer. Only where we may.
SELECT pg_terminate_backend(a.pid, 1000) AS ended
  FROM pg_catalog.pg_stat_activity a
 WHERE a.usename = current_user AND a.datname = current_database() AND a.application_name LIKE 'weir:poll:%' AND a.state = 'idle'
   AND a.pid <> pg_backend_pid() AND a.state_change < clock_timestamp() - :silent_ms::int8 * interval '1 ms'
   AND EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN weir.feed_sink k
                     ON ((l.classid::int8 << 32) | l.objid::int8) = weir.sleep_key('group-ear:' || k.id)
                WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = a.datid);

-- name: give_back_group(sink int4, tenant text, key text, owner text, lease_ms int8, run_id int8?, idx int4?, attempt int4?, outcome text,
--   error text?, delay_ms int8?) -> (released bool)
SELECT weir.give_back_group(:sink, :tenant, :key, :owner, :lease_ms, :run_id, :idx, :attempt, :outcome, :error, :delay_ms) AS released;

-- name: recover_groups(sink int4, space int4, max_attempts int4, backoff_ms int8) -> (
--   tenant text, key text, owner text, run_id int8?, idx int4?, attempt int4?, failed bool)
SELECT r.tenant, r.key, r.owner, r.run_id, r.idx, r.attempt, r.failed FROM weir.recover_groups(:sink, :space, :max_attempts, :backoff_ms) r;

-- name: hang_up_frozen_owners(sink int4, space int4, lease_ms int8) -> (ended bool)
-- A process that is frozen or cut off keeps its advisory locks, also one that it has not yet written down, and the rows that a
-- statement has locked whose answer the server cannot get rid of. It says nothing for longer than a lease, and its session does
-- nothing, or sends a batch all the time: that is how it is told from one whose statement takes long. Only where we may.
-- Behind a pooler the session that began a batch is not the one that took the group; its name is that of the owner, or its beginning.
SELECT pg_terminate_backend(a.pid, 1000) AS ended
  FROM pg_catalog.pg_stat_activity a
 CROSS JOIN LATERAL (
   SELECT a.wait_event = 'ClientWrite' AND a.query ~ '^/\* weir:(begin_batch|end_and_begin_batch|fetch_payload) \*/' AS is_sending,
          EXISTS (SELECT FROM pg_catalog.pg_locks l
                   WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                     AND l.database = a.datid AND l.classid::int8 = :space::int4::int8 & 4294967295) AS has_lock) s
 WHERE a.usename = current_user AND a.datname = current_database() AND a.application_name LIKE 'weir:group:%'
   AND a.pid <> pg_backend_pid() AND a.state_change < clock_timestamp() - :lease_ms::int8 * interval '1 ms'
   AND (s.has_lock AND (a.state LIKE 'idle%' OR s.is_sending)
        OR s.is_sending AND EXISTS (SELECT FROM weir.group_hold h
                                     WHERE h.sink_id = :sink AND h.lock_key IS NULL AND h.expires_at <= clock_timestamp()
                                       AND (h.pid = a.pid OR starts_with('weir:group:' || h.owner, a.application_name))))
   AND NOT EXISTS (SELECT FROM weir.group_hold h
                    WHERE h.sink_id = :sink AND h.pid = a.pid AND h.expires_at > clock_timestamp());

-- name: fail_stranded_runs(sink int4, older_ms int8) -> (failed int4)
SELECT weir.fail_stranded_runs(:sink, :older_ms) AS failed;

-- name: make_batch_day() -> (made int4)
-- Where everybody was away for a week, what is to be written down now has no day yet.
SELECT CASE WHEN to_regclass('weir.batch_attempt_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL
            THEN weir.make_batch_days() ELSE 0 END AS made;

-- name: keep_batch_days() -> (changed int4)
SELECT weir.keep_batch_days() AS changed;

-- name: batch_target(name text, key text[]) -> (table_name text?, missing text?, is_unique bool)
-- As SQL names it. Found by the session's search_path; one row. `missing`: a column of the key that it does not have. `is_unique`:
-- ON CONFLICT finds an index for the key.
SELECT (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass(:name::text) AND c.relkind IN ('r', 'p', 'v', 'f')) AS table_name,
       (SELECT min(k.name) FROM unnest(:key::text[]) k(name)
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass(:name::text) AND a.attname = k.name
                              AND a.attnum > 0 AND NOT a.attisdropped)) AS missing,
       -- Of a view the server knows.
       EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = to_regclass(:name::text) AND c.relkind = 'v')
       OR EXISTS (SELECT FROM pg_catalog.pg_index i
                WHERE i.indrelid = to_regclass(:name::text) AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL
                  AND i.indexprs IS NULL
                  AND (SELECT array_agg(a.attname::text ORDER BY a.attname) FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
                    = (SELECT array_agg(DISTINCT k.name ORDER BY k.name) FROM unnest(:key::text[]) k(name))) AS is_unique;

-- name: batch_columns(run_id int8, run_at timestamptz, idx int4, table_name text) -> (name text, known bool)
-- The names that a payload's rows have, and whether the table has such a column.
SELECT k.name, EXISTS (SELECT FROM pg_catalog.pg_attribute a
                        WHERE a.attrelid = to_regclass(:table_name::text) AND a.attname = k.name AND a.attnum > 0
                          AND NOT a.attisdropped) AS known
  FROM (SELECT DISTINCT jsonb_object_keys(e.value) AS name
          FROM weir.batch b CROSS JOIN LATERAL jsonb_array_elements(weir.batch_rows(b.payload)) e
         WHERE b.run_at = :run_at AND b.run_id = :run_id AND b.idx = :idx) k
 ORDER BY k.name;
