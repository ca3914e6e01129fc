-- What a server is like, for doctor and for the connection budget. Works on any database, migrated or not.

-- name: server_info() -> (
--   version int4, version_text text, in_recovery bool, now timestamptz,
--   max_connections int4, reserved_connections int4, client_connections int8,
--   user_name text, is_superuser bool, role_connection_limit int4,
--   database_name text, database_connection_limit int4)
-- The limits of role and database are -1 where there is none. The setting reserved_connections came with PostgreSQL
-- 16; what superusers alone may use is reserved too.
SELECT current_setting('server_version_num')::int4 AS version, current_setting('server_version') AS version_text,
       pg_is_in_recovery() AS in_recovery, clock_timestamp() AS now,
       current_setting('max_connections')::int4 AS max_connections,
       current_setting('superuser_reserved_connections')::int4
         + coalesce(current_setting('reserved_connections', true)::int4, 0) AS reserved_connections,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend')
         AS client_connections,
       r.rolname::text AS user_name, r.rolsuper AS is_superuser, r.rolconnlimit AS role_connection_limit,
       d.datname::text AS database_name, d.datconnlimit AS database_connection_limit
  FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
 WHERE r.rolname = current_user AND d.datname = current_database();

-- name: server_settings() -> (name text, value text, source text)
-- The settings that doctor judges, as SHOW would print them for this session.
SELECT s.name, current_setting(s.name) AS value, s.source
  FROM pg_catalog.pg_settings s
 WHERE s.name = ANY (ARRAY['synchronous_commit', 'fsync', 'full_page_writes', 'statement_timeout', 'lock_timeout',
                           'idle_in_transaction_session_timeout', 'default_transaction_isolation',
                           'default_transaction_read_only', 'TimeZone', 'autovacuum', 'wal_level', 'track_counts'])
 ORDER BY s.name;
