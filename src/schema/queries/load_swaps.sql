-- Loads (src/load/write): a table that takes the place of another.

-- name: load_likeness(old_id int8, new_id int8) -> (statement text)
-- What CREATE TABLE .. (LIKE .. INCLUDING ALL) does not copy.
SELECT format('ALTER TABLE %s SET (%s)', n.oid::regclass, array_to_string(o.reloptions, ', ')) AS statement
  FROM pg_catalog.pg_class o, pg_catalog.pg_class n
 WHERE o.oid = :old_id::int8::oid AND n.oid = :new_id::int8::oid AND o.reloptions IS NOT NULL
UNION ALL
SELECT format('COMMENT ON TABLE %s IS %L', :new_id::int8::oid::regclass, obj_description(:old_id::int8::oid, 'pg_class'))
 WHERE obj_description(:old_id::int8::oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %s REPLICA IDENTITY %s', :new_id::int8::oid::regclass,
              CASE o.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)
  FROM pg_catalog.pg_class o WHERE o.oid = :old_id::int8::oid AND o.relreplident IN ('f', 'n')
UNION ALL
SELECT format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', :new_id::int8::oid::regclass)
  FROM pg_catalog.pg_class o WHERE o.oid = :old_id::int8::oid AND o.relrowsecurity
UNION ALL
SELECT format('GRANT %s ON %s TO %s%s', x.privilege_type, :new_id::int8::oid::regclass,
              CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
              CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM pg_catalog.pg_class o, aclexplode(o.relacl) x
 WHERE o.oid = :old_id::int8::oid AND x.grantee <> o.relowner
UNION ALL
SELECT format('GRANT %s (%I) ON %s TO %s%s', x.privilege_type, a.attname, :new_id::int8::oid::regclass,
              CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
              CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM pg_catalog.pg_attribute a, aclexplode(a.attacl) x
 WHERE a.attrelid = :old_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT format('ALTER TABLE %s OWNER TO %I', :new_id::int8::oid::regclass, pg_get_userbyid(o.relowner))
  FROM pg_catalog.pg_class o, pg_catalog.pg_class n
 WHERE o.oid = :old_id::int8::oid AND n.oid = :new_id::int8::oid AND o.relowner <> n.relowner;

-- name: load_identities(old_id int8, new_id int8) -> (statement text)
-- A sequence of an identity goes on where the old one is. Never RESTART.
SELECT format('SELECT setval(%L::regclass, s.last_value, s.is_called) FROM %s s',
              pg_get_serial_sequence(:new_id::int8::oid::regclass::text, a.attname),
              pg_get_serial_sequence(:old_id::int8::oid::regclass::text, a.attname)) AS statement
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = :old_id::int8::oid AND a.attidentity <> '' AND NOT a.attisdropped;

-- name: load_owned_sequences(old_id int8) -> (name text, column_name text)
-- Of serial columns: they would go with the old table.
SELECT d.objid::regclass::text AS name, a.attname::text AS column_name
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
   AND d.refobjid = :old_id::int8::oid AND d.deptype = 'a';

-- name: load_tablespace(table_id int8) -> (name text)
-- Where a table is; that of the database is said too, for a session may have another default.
SELECT s.spcname::text AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_database d ON d.datname = current_database()
  JOIN pg_catalog.pg_tablespace s ON s.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
 WHERE c.oid = :table_id::int8::oid;

-- name: load_index_names(old_id int8, new_id int8) -> (
--   old_name text, new_name text, is_identity bool, is_clustered bool)
-- Which index of the new table is which of the old one: those that say the same are alike.
WITH known AS (
  SELECT i.indrelid, c.relname,
         regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\1') AS says,
         i.indisprimary, i.indisreplident, i.indisclustered
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
   WHERE i.indrelid IN (:old_id::int8::oid, :new_id::int8::oid)
), counted AS (
  SELECT k.*, row_number() OVER (PARTITION BY k.indrelid, k.says, k.indisprimary ORDER BY k.relname) AS n FROM known k
)
SELECT o.relname::text AS old_name, w.relname::text AS new_name, o.indisreplident AS is_identity,
       o.indisclustered AS is_clustered
  FROM counted o JOIN counted w ON w.says = o.says AND w.indisprimary = o.indisprimary AND w.n = o.n
 WHERE o.indrelid = :old_id::int8::oid AND w.indrelid = :new_id::int8::oid;

-- name: load_other_columns(old_id int8, new_id int8) -> (name text)
-- Those that only one of two tables has, or has as another type.
SELECT a.attname::text AS name
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid IN (:old_id::int8::oid, :new_id::int8::oid) AND a.attnum > 0 AND NOT a.attisdropped
 GROUP BY a.attname, a.atttypid, a.atttypmod
HAVING count(*) <> 2
 ORDER BY 1;

-- name: load_partition(name text) -> (id int8, bound text, condition text?)
SELECT c.oid::int8 AS id, pg_get_expr(c.relpartbound, c.oid) AS bound,
       pg_get_partition_constraintdef(c.oid) AS condition
  FROM pg_catalog.pg_class c WHERE c.oid = to_regclass(:name) AND c.relispartition;
