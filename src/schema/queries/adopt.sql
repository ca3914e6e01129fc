-- What `weir consume` asks of the catalogue about a table of the user. Works in any database, migrated or not.

-- name: adopt_table(name text) -> (
--   id int8?, schema_name text?, table_name text?, kind text?, row_security bool?, estimated_rows float8?,
--   may_select bool?, user_name text)
-- One row, with NULLs where no such relation is. The name is read as SQL would read it, search_path included.
SELECT c.oid::int8 AS id, n.nspname::text AS schema_name, c.relname::text AS table_name, c.relkind::text AS kind,
       row_security_active(c.oid) AS row_security,
       (SELECT sum(greatest(l.reltuples, 0))::float8
          FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class l ON l.oid = p.relid AND p.isleaf)
         AS estimated_rows,
       has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT') AS may_select,
       current_user::text AS user_name
  FROM (SELECT to_regclass(:name) AS id) given
  LEFT JOIN pg_catalog.pg_class c ON c.oid = given.id
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;

-- name: adopt_table_names() -> (name text)
-- For "did you mean".
SELECT CASE WHEN pg_catalog.pg_table_is_visible(c.oid) THEN c.relname::text
            ELSE n.nspname || '.' || c.relname END AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'weir')
 ORDER BY 1
 LIMIT 1000;

-- name: adopt_columns(table_id int8) -> (
--   name text, type text, base_type text, not_null bool, generated bool, key_position int4?, partition_position int4?,
--   may_update bool)
-- The type is written as a cast needs it, base_type is that behind a domain. Positions are counted from 1.
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       format_type(CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END, NULL) AS base_type,
       a.attnotnull AS not_null, (a.attgenerated <> '' OR a.attidentity = 'a') AS generated,
       array_position(k.conkey, a.attnum)::int4 AS key_position,
       array_position(string_to_array(p.partattrs::text, ' ')::int2[], a.attnum)::int4 AS partition_position,
       has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS may_update
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'p'
  LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = a.attrelid
 WHERE a.attrelid = :table_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: adopt_indexes(table_id int8) -> (name text, first_column text?, partial bool)
-- Those of the table and of all its partitions that queries may use.
SELECT c.relname::text AS name, a.attname::text AS first_column, i.indpred IS NOT NULL AS partial
  FROM (SELECT p.relid FROM pg_catalog.pg_partition_tree(:table_id::int8::oid) p UNION SELECT :table_id::int8::oid) t
  JOIN pg_catalog.pg_index i ON i.indrelid = t.relid AND i.indisvalid
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attnum > 0;

-- name: adopt_partitions(table_id int8) -> (
--   schema_name text, name text, parent_schema text, parent_name text, leaf bool)
-- Below the table, parents first.
SELECT n.nspname::text AS schema_name, c.relname::text AS name, pn.nspname::text AS parent_schema,
       pc.relname::text AS parent_name, p.isleaf AS leaf
  FROM pg_catalog.pg_partition_tree(:table_id::int8::oid) p
  JOIN pg_catalog.pg_class c ON c.oid = p.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class pc ON pc.oid = p.parentrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
 WHERE p.level > 0
 ORDER BY p.level, 1, 2;

-- name: adopt_trigger(table_id int8) -> (present bool, enabled bool, function_present bool)
SELECT t.oid IS NOT NULL AS present, coalesce(t.tgenabled IN ('O', 'A'), false) AS enabled,
       to_regprocedure('weir.wake_consumers()') IS NOT NULL AS function_present
  FROM (SELECT 1) one
  LEFT JOIN pg_catalog.pg_trigger t
         ON t.tgrelid = :table_id::int8::oid AND t.tgname = 'weir_consume_wake' AND NOT t.tgisinternal;

-- name: adopt_fall_asleep(table_id int8) -> (asleep bool)
-- Waits while an inserter tries the lock, which is microseconds.
SELECT true AS asleep
  FROM pg_catalog.pg_advisory_lock_shared(pg_catalog.hashtextextended('weir sleep:' || :table_id::int8, 0));

-- name: adopt_awake(table_id int8) -> (held bool)
SELECT pg_catalog.pg_advisory_unlock_shared(pg_catalog.hashtextextended('weir sleep:' || :table_id::int8, 0)) AS held;

-- name: adopt_next_transaction() -> (next int8)
-- Every transaction that has an id by now has a lower one. The snapshot's xmax would not do: it is one more than the
-- last transaction that has *ended*, so the newest of those in progress may lie beyond it.
SELECT pg_current_xact_id()::text::int8 AS next;

-- name: adopt_oldest_transaction() -> (oldest int8)
-- All below it have ended, and what they committed is visible to the next statement.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8 AS oldest;
