-- The record of migrations, and the one lock that all migrators of a database share.

-- name: migration_record() -> (present bool, readable bool)
-- Whether weir.schema_migration exists and this user may read it. Asks the catalogue: to_regclass() fails for a user
-- without USAGE on the schema.
SELECT count(*) > 0 AS present,
       coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), false)
         AS readable
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'weir' AND c.relname = 'schema_migration';

-- name: applied_migrations() -> (number int4, name text, checksum text, applied_at timestamptz, applied_by text)
SELECT number, name, checksum, applied_at, applied_by FROM weir.schema_migration ORDER BY number;

-- name: record_migration(number int4, name text, checksum text, took_ms int8)
INSERT INTO weir.schema_migration (number, name, checksum, took_ms) VALUES (:number, :name, :checksum, :took_ms);

-- name: try_migration_lock(key int8) -> (granted bool)
-- Held to the end of the transaction. Tried, never waited for: a waiting transaction would hold back vacuum.
SELECT pg_catalog.pg_try_advisory_xact_lock(:key) AS granted;

-- name: migration_lock_holders(key int8) -> (
--   pid int4, application_name text?, user_name text?, state text?, query text?, age_seconds float8?)
-- Who holds the migrators' lock. Sessions of other users show only their pid to somebody without pg_read_all_stats.
SELECT a.pid, nullif(a.application_name, '') AS application_name, a.usename::text AS user_name, a.state, a.query,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::float8 AS age_seconds
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
   AND (l.classid::int8 << 32) | l.objid::int8 = :key
   AND l.pid <> pg_backend_pid();

-- name: schema_lock_holders() -> (
--   pid int4, application_name text?, user_name text?, state text?, query text?, age_seconds float8?)
-- Who holds locks on relations of schema weir, the oldest transaction first: after a lock timeout they are whom the
-- migration waited for, or stood in front of it.
SELECT a.pid, nullif(a.application_name, '') AS application_name, a.usename::text AS user_name, a.state, a.query,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.query_start))::float8 AS age_seconds
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_backend_pid()
   AND a.pid IN (SELECT l.pid
                   FROM pg_catalog.pg_locks l
                   JOIN pg_catalog.pg_class c ON c.oid = l.relation
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = 'weir' AND l.granted
                    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d
                                       WHERE d.datname = current_database()))
 ORDER BY a.xact_start NULLS LAST
 LIMIT 5;

-- name: migration_rights() -> (
--   user_name text, database_name text, may_create_schema bool,
--   schema_owner text?, is_schema_owner bool, schema_is_empty bool)
-- What migrating needs: CREATE on the database while schema weir is missing, and its owner's rights afterwards.
-- The names come quoted where SQL wants quotes.
SELECT quote_ident(current_user) AS user_name, quote_ident(current_database()) AS database_name,
       has_database_privilege(current_database(), 'CREATE') AS may_create_schema,
       quote_ident(o.rolname) AS schema_owner, coalesce(pg_has_role(o.oid, 'USAGE'), false) AS is_schema_owner,
       NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid)
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid) AS schema_is_empty
  FROM (SELECT) AS one_row
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'weir'
  LEFT JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner;
