-- What `weir doctor` asks beyond server.sql. Works on any database, migrated or not.

-- name: database_encoding() -> (encoding text)
SELECT pg_encoding_to_char(d.encoding)::text AS encoding
  FROM pg_catalog.pg_database d WHERE d.datname = current_database();

-- name: own_search_path() -> (own bool)
-- Whether this session looks names up in pg_catalog alone, as ours do unless a pooler refused it.
SELECT current_schemas(true) = ARRAY['pg_catalog']::name[] AS own;

-- name: oldest_snapshots() -> (kind text, holder text, age_seconds float8?, transactions int8)
-- What keeps dead rows from being removed: sessions, prepared transactions, replication slots. Of sessions that this
-- user may not look into only the pid shows. `transactions` counts those that began since.
SELECT o.kind, o.holder, extract(epoch FROM clock_timestamp() - o.since)::float8 AS age_seconds,
       age(o.horizon)::int8 AS transactions
  FROM (SELECT 'session' AS kind,
               format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename, 'unnamed')) AS holder,
               a.xact_start AS since, coalesce(a.backend_xmin, a.backend_xid) AS horizon
          FROM pg_catalog.pg_stat_activity a
         WHERE a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
        UNION ALL
        SELECT 'prepared', format('%s of user %s', p.gid, p.owner), p.prepared, p.transaction
          FROM pg_catalog.pg_prepared_xacts p
        UNION ALL
        SELECT 'slot', s.slot_name::text, NULL, coalesce(s.xmin, s.catalog_xmin)
          FROM pg_catalog.pg_replication_slots s) o
 WHERE o.horizon IS NOT NULL
 ORDER BY age(o.horizon) DESC
 LIMIT 3;
