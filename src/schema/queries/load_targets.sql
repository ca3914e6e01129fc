-- Loads (src/load/write): what is asked of the catalogue about the table that is loaded.

-- name: load_target(name text) -> (
--   id int8?, schema_name text?, table_name text?, kind text?, owner text?, row_security bool?, unidentified bool?,
--   unlogged bool?, estimated_rows float8?, bytes int8?, may_select bool?, may_insert bool?, may_update bool?,
--   may_delete bool?, may_lock bool?, may_create bool?, owner_may_create bool?, is_owner bool?, role_name text)
-- One row, with NULLs where no such relation is. The name is read as SQL would read it, search_path included.
-- Unidentified: of some rows a publication could not say which one was changed: no replica identity, or one by an index
-- that is not there. May lock: so that nobody reads or writes. Owner may create: whether a table made in that schema
-- may be given to the owner of this one.
SELECT c.oid::int8 AS id, n.nspname::text AS schema_name, c.relname::text AS table_name, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner)::text AS owner, row_security_active(c.oid) AS row_security,
       k.unidentified, c.relpersistence = 'u' AS unlogged, k.estimated_rows, k.bytes,
       has_table_privilege(c.oid, 'SELECT') AS may_select,
       has_table_privilege(c.oid, 'INSERT') OR has_any_column_privilege(c.oid, 'INSERT') AS may_insert,
       has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE') AS may_update,
       has_table_privilege(c.oid, 'DELETE') AS may_delete,
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS may_lock,
       has_schema_privilege(n.oid, 'CREATE') AS may_create,
       has_schema_privilege(c.relowner, n.oid, 'CREATE')
         OR (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS owner_may_create,
       pg_has_role(c.relowner, 'USAGE') AS is_owner, current_user::text AS role_name
  FROM (SELECT to_regclass(:name) AS id) given
  LEFT JOIN pg_catalog.pg_class c ON c.oid = given.id
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  -- The tree of a table without partitions is empty.
  LEFT JOIN LATERAL (
    SELECT sum(greatest(l.reltuples, 0))::float8 AS estimated_rows, sum(pg_total_relation_size(l.oid))::int8 AS bytes,
           bool_or(l.relreplident <> 'f'
                   AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i
                                    WHERE i.indrelid = l.oid AND i.indisvalid AND i.indimmediate
                                      AND CASE l.relreplident WHEN 'd' THEN i.indisprimary
                                                              WHEN 'i' THEN i.indisreplident END)) AS unidentified
      FROM (SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) p WHERE p.isleaf UNION SELECT c.oid) t
      JOIN pg_catalog.pg_class l ON l.oid = t.relid AND l.relkind IN ('r', 'm')) k ON true;

-- name: load_is_still(name text, table_id int8, schema_name text, table_name text) -> (same bool)
-- Whether the table that was described is the one of that name; table_id 0: whether there is none. By its row too: the
-- name alone may come from a cache that has not heard yet of a commit that statements see.
SELECT coalesce(to_regclass(:name)::oid::int8, 0) = :table_id::int8
       AND (:table_id::int8 = 0
            OR EXISTS (SELECT 1
                         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                        WHERE c.oid = :table_id::int8::oid AND n.nspname = :schema_name::text
                          AND c.relname = :table_name::text)) AS same;

-- name: load_columns(table_id int8) -> (
--   name text, type_id int8, modifier int4, type text, not_null bool, default_sql text?, identity text, generated bool,
--   comparable bool, exact bool, collation text?, uncut text?, may_insert bool, may_update bool)
-- Comparable: the type, that behind a domain, or that of an array's elements has an order, as IS DISTINCT FROM and
-- sorting need. Exact: values that are equal look the same (1.0 = 1.00 of numeric does not). Uncut: the type without its
-- modifier, where an explicit cast to it cuts or pads in silence and an assignment refuses (bit, char and varchar, their
-- arrays, domains of them: the cast of such a type to itself is told whether it is explicit). Collation: where two
-- texts that are not the same are equal by it.
SELECT a.attname::text AS name, a.atttypid::int8 AS type_id, a.atttypmod AS modifier,
       format_type(a.atttypid, a.atttypmod) AS type, (a.attnotnull OR t.typnotnull) AS not_null,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default_sql,
       a.attidentity::text AS identity, a.attgenerated <> '' AS generated,
       (b.typtype IN ('e', 'r', 'm') OR EXISTS (
          SELECT 1
            FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
           WHERE o.opcdefault
             AND (o.opcintype = b.oid
                  OR EXISTS (SELECT 1 FROM pg_catalog.pg_cast x
                              WHERE x.castsource = b.oid AND x.casttarget = o.opcintype AND x.castmethod = 'b'
                                AND x.castcontext = 'i')))) AS comparable,
       ((a.atttypid IN (16, 17, 20, 21, 23, 25, 1043, 1082, 1083, 1114, 1184, 2950)
         OR (a.atttypid IN (1042, 1700) AND a.atttypmod >= 0))
        AND coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation), true)) AS exact,
       (SELECT format('%I.%I', s.nspname, l.collname)
          FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace s ON s.oid = l.collnamespace
         WHERE l.oid = a.attcollation AND NOT l.collisdeterministic) AS collation,
       CASE WHEN u.modifier >= 0
             AND EXISTS (SELECT 1
                           FROM pg_catalog.pg_cast x JOIN pg_catalog.pg_proc p ON p.oid = x.castfunc
                          WHERE x.castsource = u.element_id AND x.casttarget = u.element_id AND p.pronargs = 3)
            THEN format_type(u.type_id, -1) END AS uncut,
       -- null of a table that was dropped a moment ago: who asks looks again
       coalesce(has_column_privilege(a.attrelid, a.attnum, 'INSERT'), false) AS may_insert,
       coalesce(has_column_privilege(a.attrelid, a.attnum, 'UPDATE'), false) AS may_update
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
  JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN e.typcategory = 'A' AND e.typelem <> 0 THEN e.typelem ELSE e.oid END
 CROSS JOIN LATERAL (
    WITH RECURSIVE below (type_id, modifier) AS (
      SELECT t.oid, a.atttypmod
       UNION ALL
      SELECT n.typbasetype, n.typtypmod
        FROM below w JOIN pg_catalog.pg_type n ON n.oid = w.type_id AND n.typtype = 'd'
    )
    SELECT w.type_id, w.modifier,
           CASE WHEN n.typcategory = 'A' AND n.typelem <> 0 THEN n.typelem ELSE n.oid END AS element_id
      FROM below w JOIN pg_catalog.pg_type n ON n.oid = w.type_id AND n.typtype <> 'd') u
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = :table_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum;

-- name: load_pinned_columns(table_id int8) -> (name text)
-- Those whose type cannot be changed: a view, a trigger, a policy, a function, a generated column or the partitions go
-- by it, or it comes from a parent.
SELECT a.attname::text AS name
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = :table_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped
   AND (a.attinhcount > 0
        OR EXISTS (SELECT 1 FROM pg_catalog.pg_partitioned_table p
                    WHERE p.partrelid = a.attrelid AND a.attnum = ANY (p.partattrs::int2[]))
        OR EXISTS (
             SELECT 1
               FROM pg_catalog.pg_depend d LEFT JOIN pg_catalog.pg_attrdef f
                 ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND f.oid = d.objid
              WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid
                AND d.refobjsubid = a.attnum
                AND (d.classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_trigger'::regclass,
                                   'pg_catalog.pg_policy'::regclass, 'pg_catalog.pg_proc'::regclass)
                     OR (f.adnum <> a.attnum))))
 ORDER BY a.attnum;

-- name: load_home(schema text) -> (name text?, may_create bool?)
-- Where a table without (or with) a schema would be made.
SELECT n.nspname::text AS name, has_schema_privilege(n.oid, 'CREATE') AS may_create
  FROM (SELECT coalesce(nullif(:schema::text, ''), current_schema()::text) AS wanted) w
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.wanted;

-- name: load_keys(table_id int8) -> (
--   index_name text, columns text[], is_primary bool, deferrable bool, alike bool)
-- Unique indexes over plain columns of all rows, the primary key first. Alike: it finds equal what its columns find
-- equal. All collations do that in one way, but those that are nondeterministic.
SELECT c.relname::text AS index_name,
       (SELECT array_agg(a.attname::text ORDER BY k.n)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE k.n <= i.indnkeyatts) AS columns,
       i.indisprimary AS is_primary, NOT i.indimmediate AS deferrable,
       NOT EXISTS (
         SELECT 1
           FROM unnest(i.indkey::int2[], i.indcollation::oid[]) WITH ORDINALITY k (attnum, collation_id, n)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
           JOIN pg_catalog.pg_collation l ON l.oid IN (k.collation_id, a.attcollation) AND NOT l.collisdeterministic
          WHERE k.n <= i.indnkeyatts AND k.collation_id <> a.attcollation) AS alike
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
 WHERE i.indrelid = :table_id::int8::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
   AND i.indexprs IS NULL
 ORDER BY i.indisprimary DESC, c.relname;

-- name: load_checks(table_id int8) -> (name text, expression text)
SELECT k.conname::text AS name, pg_get_expr(k.conbin, k.conrelid) AS expression
  FROM pg_catalog.pg_constraint k
 WHERE k.conrelid = :table_id::int8::oid AND k.contype = 'c'
 ORDER BY k.conname;

-- name: load_foreign_keys(table_id int8) -> (name text, other text, columns text[], other_columns text[])
-- Of the table, to others that the role may read.
SELECT k.conname::text AS name, format('%I.%I', n.nspname, o.relname) AS other,
       (SELECT array_agg(a.attname::text ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u (attnum, n)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS columns,
       (SELECT array_agg(a.attname::text ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u (attnum, n)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS other_columns
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class o ON o.oid = k.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = o.relnamespace
 WHERE k.conrelid = :table_id::int8::oid AND k.contype = 'f' AND k.confrelid <> k.conrelid
   AND has_table_privilege(o.oid, 'SELECT') AND NOT row_security_active(o.oid)
 ORDER BY k.conname;

-- name: load_dependents(table_id int8) -> (kind text, name text, definition text)
-- All that hangs on the table, on the views that show it, and on the types of their rows. A definition is there only for
-- what may be made again by it; that of a publication is what it publishes of changes of rows.
WITH RECURSIVE shown (id) AS (
  SELECT :table_id::int8::oid
  UNION
  SELECT r.ev_class
    FROM shown s
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = s.id
     AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
)
SELECT 'foreign_key_in' AS kind, k.conrelid::regclass::text || ' ' || k.conname AS name,
       '' AS definition
  FROM pg_catalog.pg_constraint k
 WHERE k.confrelid = :table_id::int8::oid AND k.contype = 'f' AND k.conrelid <> k.confrelid AND k.conparentid = 0
UNION ALL
SELECT 'foreign_key_out', k.conname::text, pg_get_constraintdef(k.oid)
  FROM pg_catalog.pg_constraint k
 WHERE k.conrelid = :table_id::int8::oid AND k.contype = 'f'
UNION ALL
SELECT 'trigger', t.tgname::text, pg_get_triggerdef(t.oid)
  FROM pg_catalog.pg_trigger t WHERE t.tgrelid = :table_id::int8::oid AND NOT t.tgisinternal
UNION ALL
SELECT 'rule', r.rulename::text, '' FROM pg_catalog.pg_rewrite r
 WHERE r.ev_class = :table_id::int8::oid AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'policy', p.polname::text, '' FROM pg_catalog.pg_policy p WHERE p.polrelid = :table_id::int8::oid
UNION ALL
SELECT DISTINCT 'publication', p.pubname::text,
       concat_ws(', ', CASE WHEN b.pubupdate THEN 'update' END, CASE WHEN b.pubdelete THEN 'delete' END)
  FROM (SELECT t.relid FROM pg_catalog.pg_partition_tree(:table_id::int8::oid) t
         UNION SELECT a.relid FROM pg_catalog.pg_partition_ancestors(:table_id::int8::oid) a
         UNION SELECT :table_id::int8::oid) f
  JOIN pg_catalog.pg_class c ON c.oid = f.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_publication_tables p ON p.schemaname = n.nspname AND p.tablename = c.relname
  JOIN pg_catalog.pg_publication b ON b.pubname = p.pubname
UNION ALL
SELECT 'inheritance', i.inhrelid::regclass::text || ' of ' || i.inhparent::regclass::text, ''
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
 WHERE (i.inhrelid = :table_id::int8::oid OR i.inhparent = :table_id::int8::oid) AND p.relkind <> 'p'
UNION ALL
SELECT 'partition', i.inhparent::regclass::text, ''
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
 WHERE i.inhrelid = :table_id::int8::oid AND p.relkind = 'p'
UNION ALL
SELECT 'other', 'a security label of it', ''
 WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_seclabel l
                WHERE l.classoid = 'pg_catalog.pg_class'::regclass AND l.objoid = :table_id::int8::oid)
UNION ALL
SELECT 'other', 'the type that it is of', ''
  FROM pg_catalog.pg_class c WHERE c.oid = :table_id::int8::oid AND c.reloftype <> 0
UNION ALL
SELECT DISTINCT 'other', pg_describe_object(d.classid, d.objid, CASE WHEN f.of_type THEN d.objsubid ELSE 0 END), ''
  FROM (SELECT 'pg_catalog.pg_class'::regclass::oid AS class_id, s.id, false AS of_type FROM shown s
         UNION ALL
        SELECT 'pg_catalog.pg_type'::regclass::oid, u.id, true
          FROM shown s JOIN pg_catalog.pg_class c ON c.oid = s.id JOIN pg_catalog.pg_type y ON y.oid = c.reltype
         CROSS JOIN LATERAL (VALUES (y.oid), (y.typarray)) AS u (id)) f
  JOIN pg_catalog.pg_depend d ON d.refclassid = f.class_id AND d.refobjid = f.id AND d.deptype = 'n'
 WHERE d.classid NOT IN ('pg_catalog.pg_constraint'::regclass, 'pg_catalog.pg_trigger'::regclass,
                         'pg_catalog.pg_publication_rel'::regclass, 'pg_catalog.pg_attrdef'::regclass)
   -- what is told apart, or shows the table
   AND NOT (d.classid = 'pg_catalog.pg_rewrite'::regclass AND EXISTS (
              SELECT 1 FROM pg_catalog.pg_rewrite r JOIN shown w ON w.id = r.ev_class WHERE r.oid = d.objid))
   AND NOT (d.classid = 'pg_catalog.pg_policy'::regclass AND EXISTS (
              SELECT 1 FROM pg_catalog.pg_policy p WHERE p.oid = d.objid AND p.polrelid = :table_id::int8::oid))
   AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND EXISTS (
              SELECT 1 FROM pg_catalog.pg_inherits i
               WHERE i.inhrelid = d.objid AND i.inhparent = d.refobjid))
ORDER BY 1, 2;

-- name: load_views(table_id int8) -> (id int8, name text, kind text, definition text, level int4)
-- Views that show the table, those on them too; the deeper, the later. The definition makes the view again with its
-- owner, options and comments; for its rights see load_grants. Kind x: one with triggers, rules, defaults or rights of columns, which it would
-- not make again.
WITH RECURSIVE above (view_id, level) AS (
  SELECT r.ev_class, 1
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
   WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
     AND d.refobjid = :table_id::int8::oid AND r.ev_class <> d.refobjid
  UNION
  SELECT r.ev_class, a.level + 1
    FROM above a
    JOIN pg_catalog.pg_depend d ON d.refobjid = a.view_id AND d.refclassid = 'pg_catalog.pg_class'::regclass
     AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> d.refobjid
)
SELECT c.oid::int8 AS id, format('%I.%I', n.nspname, c.relname) AS name,
       CASE WHEN c.relkind = 'v'
             AND (EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid)
                  OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
                  OR EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a
                              WHERE a.attrelid = c.oid AND (a.attacl IS NOT NULL OR a.atthasdef)))
            THEN 'x' ELSE c.relkind::text END AS kind,
       concat(
         format('CREATE VIEW %I.%I%s AS %s;', n.nspname, c.relname,
                ' WITH (' || array_to_string(c.reloptions, ', ') || ')',
                rtrim(pg_get_viewdef(c.oid), ';')),
         format(' ALTER VIEW %I.%I OWNER TO %I;', n.nspname, c.relname, pg_get_userbyid(c.relowner)),
         (SELECT format(' COMMENT ON VIEW %I.%I IS %L;', n.nspname, c.relname, obj_description(c.oid, 'pg_class'))
           WHERE obj_description(c.oid, 'pg_class') IS NOT NULL),
         (SELECT string_agg(format(' COMMENT ON COLUMN %I.%I.%I IS %L;', n.nspname, c.relname, a.attname,
                                   col_description(c.oid, a.attnum)), '')
            FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NOT NULL)) AS definition,
       max(a.level) AS level
  FROM above a JOIN pg_catalog.pg_class c ON c.oid = a.view_id
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY c.oid, n.nspname, c.relname, c.relkind, c.reloptions, c.relowner
 ORDER BY max(a.level), 2;

-- name: load_partitions(table_id int8) -> (
--   id int8, schema_name text, name text, kind text, bound text, is_default bool)
SELECT c.oid::int8 AS id, n.nspname::text AS schema_name, c.relname::text AS name, c.relkind::text AS kind,
       pg_get_expr(c.relpartbound, c.oid) AS bound, pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE i.inhparent = :table_id::int8::oid AND c.relispartition
 ORDER BY 2, 3;
