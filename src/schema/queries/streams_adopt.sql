-- What `weir stream adopt` asks about a table that is to become a stream, and what it writes down in the end.

-- name: adopt_stream_table(name text) -> (
--   id int8?, schema_name text?, table_name text?, kind text?, persistence text?, row_security bool?, inherits bool?,
--   is_partition bool?, is_inherited bool?, owner text?, owns bool?, may_make bool, me text, stream text?, taken bool,
--   rows float8?, updated int8?, xid_checked bool, update_refused bool)
-- One row, with NULLs where no such relation is. `stream`: the one that the table is already; `taken`: another table's stream
-- has the name.
SELECT c.oid::int8 AS id, n.nspname::text AS schema_name, c.relname::text AS table_name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relrowsecurity AS row_security,
       EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AND NOT c.relispartition AS inherits,
       c.relispartition AS is_partition,
       c.relkind <> 'p' AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS is_inherited,
       pg_catalog.pg_get_userbyid(c.relowner)::text AS owner, pg_has_role(c.relowner, 'USAGE') AS owns,
       has_table_privilege('weir.stream', 'INSERT') AND has_table_privilege('weir.stream_cut', 'INSERT')
       AND has_function_privilege('weir.refuse_stream_update()', 'EXECUTE') AS may_make,
       current_user::text AS me,
       (SELECT s.name FROM weir.stream s WHERE s.schema_name = n.nspname AND s.table_name = c.relname) AS stream,
       EXISTS (SELECT FROM weir.stream s WHERE s.name = :name) AS taken,
       t.rows, t.updated,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.conname = 'weir_xid_is_not_written') AS xid_checked,
       EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'weir_stream_is_not_updated') AS update_refused
  FROM (SELECT to_regclass(:name) AS id) given
  LEFT JOIN pg_catalog.pg_class c ON c.oid = given.id
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
    SELECT sum(greatest(l.reltuples, 0))::float8 AS rows, sum(pg_catalog.pg_stat_get_tuples_updated(l.oid))::int8 AS updated
      FROM pg_catalog.pg_class l
     WHERE l.oid = c.oid OR l.oid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) p WHERE p.isleaf)) t ON true;

-- name: adopt_stream_columns(table_id int8) -> (
--   name text, type text, not_null bool, counted bool, is_unique bool, in_key bool, in_partition_key bool, default_text text?)
-- The type is that behind a domain. `counted`: a sequence gives out its values. `is_unique`: some unique index has it, and
-- besides it only columns that say which partition a row is in; `in_key`: the primary key is such an index.
WITH t AS (
  SELECT c.oid, coalesce(string_to_array(p.partattrs::text, ' ')::int2[], '{}') AS partition_key
    FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid
   WHERE c.oid = :table_id::int8::oid
), k AS (
  SELECT i.indisprimary, string_to_array(i.indkey::text, ' ')::int2[] AS columns
    FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid
   WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL
)
SELECT a.attname::text AS name,
       format_type(CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END, NULL) AS type, a.attnotnull AS not_null,
       a.attidentity <> '' OR coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false) AS counted,
       EXISTS (SELECT FROM k WHERE a.attnum = ANY (k.columns)
                               AND NOT EXISTS (SELECT FROM unnest(k.columns) o WHERE o <> a.attnum AND o <> ALL (t.partition_key)))
         AS is_unique,
       EXISTS (SELECT FROM k WHERE k.indisprimary AND a.attnum = ANY (k.columns)
                               AND NOT EXISTS (SELECT FROM unnest(k.columns) o WHERE o <> a.attnum AND o <> ALL (t.partition_key)))
         AS in_key,
       a.attnum = ANY (t.partition_key) AS in_partition_key, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS default_text
  FROM t
  JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 ORDER BY a.attnum;

-- name: adopt_stream_update_signs(table_id int8) -> (kind text, name text)
-- What changes rows of the table, or reacts to it: triggers, foreign keys that set columns, functions of triggers that have an
-- UPDATE of the table in them.
SELECT CASE WHEN g.tgtype & 16 <> 0 THEN 'trigger' ELSE 'function' END AS kind, g.tgname::text AS name
  FROM pg_catalog.pg_trigger g
  JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
  JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid
 WHERE g.tgrelid = :table_id::int8::oid AND NOT g.tgisinternal AND g.tgname <> 'weir_stream_is_not_updated'
   AND (g.tgtype & 16 <> 0 OR (p.prosrc ~* '\mupdate\M' AND position(lower(c.relname) IN lower(p.prosrc)) > 0))
UNION ALL
SELECT 'foreign key' AS kind, k.conname::text AS name
  FROM pg_catalog.pg_constraint k
 WHERE k.conrelid = :table_id::int8::oid AND k.contype = 'f' AND (k.confupdtype IN ('c', 'n', 'd') OR k.confdeltype IN ('n', 'd'))
 ORDER BY 1, 2;

-- name: adopt_stream_relations(table_id int8, xid_column text, id_column text) -> (
--   schema_name text, name text, kind text, owns bool, may_index bool, parent_schema text?, parent_name text?,
--   index_schema text?, index_name text?, index_valid bool, index_attached bool)
-- The table and all that is below it, parents first, and the index (xid, id) of each, if there is one.
WITH tree AS (
  SELECT p.relid, p.parentrelid, p.level FROM pg_catalog.pg_partition_tree(:table_id::int8::oid) p
   WHERE p.level > 0
  UNION ALL
  SELECT :table_id::int8::oid::regclass, NULL, 0
)
SELECT n.nspname::text AS schema_name, c.relname::text AS name, c.relkind::text AS kind,
       pg_has_role(c.relowner, 'USAGE') AS owns, has_schema_privilege(n.oid, 'CREATE') AS may_index, pn.nspname::text AS parent_schema, pc.relname::text AS parent_name,
       i.schema_name AS index_schema, i.name AS index_name, coalesce(i.valid, false) AS index_valid, coalesce(i.attached, false) AS index_attached
  FROM tree t
  JOIN pg_catalog.pg_class c ON c.oid = t.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_class pc ON pc.oid = t.parentrelid LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
  LEFT JOIN LATERAL (
    SELECT xn.nspname::text AS schema_name, x.relname::text AS name, k.indisvalid AS valid,
           EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = x.oid) AS attached
      FROM pg_catalog.pg_index k
      JOIN pg_catalog.pg_class x ON x.oid = k.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
      JOIN pg_catalog.pg_namespace xn ON xn.oid = x.relnamespace
     WHERE k.indrelid = c.oid AND k.indpred IS NULL AND k.indnatts = 2
       AND k.indkey[0] = (SELECT a.attnum FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = :xid_column::text AND NOT a.attisdropped)
       AND k.indkey[1] = (SELECT a.attnum FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = :id_column::text AND NOT a.attisdropped)
     ORDER BY 4 DESC, k.indisvalid DESC, 2 LIMIT 1) i ON true
 ORDER BY t.level, 1, 2;

-- name: try_adopt_stream_lock(table_id int8) -> (locked bool)
-- For as long as the session lasts, or until it is given back.
SELECT pg_try_advisory_lock(hashtextextended('weir.adopt_stream:' || :table_id::int8, 0)) AS locked;

-- name: release_adopt_stream_lock(table_id int8) -> (released bool)
SELECT pg_advisory_unlock(hashtextextended('weir.adopt_stream:' || :table_id::int8, 0)) AS released;

-- name: make_adopted_stream(name text, schema_name text, table_name text, xid_column text, id_column text, at_column text,
--   key_column text?, payload_column text?, chunk_events int4, server_id int8) -> (id int4)
-- Nothing has ended yet, as far as the stream goes: whatever has a number is cut at its first cut.
WITH made AS (
  INSERT INTO weir.stream (name, schema_name, table_name, adopted, xid_column, id_column, at_column, key_column, payload_column,
                           chunk_events, server_id)
  VALUES (:name, :schema_name, :table_name, true, :xid_column, :id_column, :at_column, :key_column, :payload_column, :chunk_events, :server_id)
  RETURNING id
), cut AS (
  INSERT INTO weir.stream_cut (stream_id, number, ended, open, last_chunk, events)
  SELECT m.id, 0, 0, '{}', 0, 0 FROM made m
)
SELECT m.id FROM made m;
