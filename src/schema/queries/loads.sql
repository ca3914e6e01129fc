-- Loads (src/load/write). What is asked of the catalogue about the table that is loaded, and Weir's own records of it.

-- name: load_target(name text) -> (
--   id int8?, schema_name text?, table_name text?, kind text?, owner text?, row_security bool?, replica_identity text?,
--   unlogged bool?, estimated_rows float8?, bytes int8?, may_select bool?, may_insert bool?, may_update bool?,
--   may_delete bool?, is_owner bool?, role_name text)
-- One row, with NULLs where no such relation is. The name is read as SQL would read it, search_path included.
SELECT c.oid::int8 AS id, n.nspname::text AS schema_name, c.relname::text AS table_name, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner)::text AS owner, row_security_active(c.oid) AS row_security,
       c.relreplident::text AS replica_identity, c.relpersistence = 'u' AS unlogged,
       (SELECT sum(greatest(l.reltuples, 0))::float8
          FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class l ON l.oid = p.relid AND p.isleaf)
         AS estimated_rows,
       CASE WHEN c.relkind IN ('r', 'p', 'm') THEN
         (SELECT sum(pg_total_relation_size(p.relid))::int8 FROM pg_catalog.pg_partition_tree(c.oid) p) END AS bytes,
       has_table_privilege(c.oid, 'SELECT') AS may_select,
       has_table_privilege(c.oid, 'INSERT') OR has_any_column_privilege(c.oid, 'INSERT') AS may_insert,
       has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE') AS may_update,
       has_table_privilege(c.oid, 'DELETE') AS may_delete,
       pg_has_role(c.relowner, 'USAGE') AS is_owner, current_user::text AS role_name
  FROM (SELECT to_regclass(:name) AS id) given
  LEFT JOIN pg_catalog.pg_class c ON c.oid = given.id
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;

-- name: load_columns(table_id int8) -> (
--   name text, type_id int8, modifier int4, type text, not_null bool, default_sql text?, identity text, generated bool,
--   comparable bool, exact bool, uncut text?, may_insert bool, may_update bool)
-- Comparable: the type, that behind a domain, or that of an array's elements has an order, as IS DISTINCT FROM and
-- sorting need. Exact: values that are equal look the same (1.0 = 1.00 of numeric does not). Uncut: the type without its
-- modifier, where an explicit cast to it cuts or pads in silence and an assignment refuses (bit, char and varchar, their
-- arrays, domains of them: the cast of such a type to itself is told whether it is explicit).
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

-- name: load_keys(table_id int8) -> (index_name text, columns text[], is_primary bool, deferrable bool)
-- Unique indexes over plain columns of all rows, the primary key first.
SELECT c.relname::text AS index_name,
       (SELECT array_agg(a.attname::text ORDER BY k.n)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE k.n <= i.indnkeyatts) AS columns,
       i.indisprimary AS is_primary, NOT i.indimmediate AS deferrable
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
-- All that hangs on the table. A definition is there only for what may be made again by it.
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
SELECT 'publication', p.pubname::text, ''
  FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid
 WHERE r.prrelid = :table_id::int8::oid
UNION ALL
SELECT 'inheritance', i.inhrelid::regclass::text || ' of ' || i.inhparent::regclass::text, ''
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
 WHERE (i.inhrelid = :table_id::int8::oid OR i.inhparent = :table_id::int8::oid) AND p.relkind <> 'p'
UNION ALL
SELECT 'partition', i.inhparent::regclass::text, ''
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
 WHERE i.inhrelid = :table_id::int8::oid AND p.relkind = 'p'
UNION ALL
SELECT DISTINCT 'other', pg_describe_object(d.classid, d.objid, 0), ''
  FROM pg_catalog.pg_depend d
 WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = :table_id::int8::oid AND d.deptype = 'n'
   AND d.classid NOT IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_constraint'::regclass,
                         'pg_catalog.pg_trigger'::regclass, 'pg_catalog.pg_policy'::regclass,
                         'pg_catalog.pg_publication_rel'::regclass, 'pg_catalog.pg_attrdef'::regclass)
   AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND EXISTS (
              SELECT 1 FROM pg_catalog.pg_inherits i
               WHERE i.inhrelid = d.objid AND i.inhparent = d.refobjid))
ORDER BY 1, 2;

-- name: load_views(table_id int8) -> (name text, kind text, definition text, level int4)
-- Views that show the table, those on them too; the deeper, the later. The definition makes the view again with its
-- owner, options, comment and rights. Kind x: one with triggers, rules, defaults or rights of columns, which it would
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
SELECT format('%I.%I', n.nspname, c.relname) AS name,
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
         (SELECT string_agg(format(' GRANT %s ON %I.%I TO %s%s;', x.privilege_type, n.nspname, c.relname,
                                   CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                                   CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '')
            FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner)) AS definition,
       max(a.level) AS level
  FROM above a JOIN pg_catalog.pg_class c ON c.oid = a.view_id
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 GROUP BY c.oid, n.nspname, c.relname, c.relkind, c.reloptions, c.relowner, c.relacl
 ORDER BY max(a.level), 1;

-- name: load_partitions(table_id int8) -> (schema_name text, name text, bound text, is_default bool)
SELECT n.nspname::text AS schema_name, c.relname::text AS name, pg_get_expr(c.relpartbound, c.oid) AS bound,
       pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE i.inhparent = :table_id::int8::oid AND c.relispartition
 ORDER BY 1, 2;

-- name: load_stages(target_id int8) -> (name text, id int8, mine bool, signature text)
-- Stages that loads of the target have left. The signature tells whether the columns are those that a load needs.
SELECT c.relname::text AS name, c.oid::int8 AS id, pg_has_role(c.relowner, 'USAGE') AS mine,
       (SELECT string_agg('"' || replace(a.attname, '"', '""') || '" ' || format_type(a.atttypid, a.atttypmod), ', '
                          ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS signature
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'weir_stage' AND c.relkind = 'r' AND c.relname LIKE 'load\_' || :target_id::int8 || '\_%'
 ORDER BY length(c.relname), c.relname;

-- name: load_stage_columns(stage text) -> (mine bool, name text, type_id int8, modifier int4, type text)
SELECT pg_has_role(c.relowner, 'USAGE') AS mine, a.attname::text AS name, a.atttypid::int8 AS type_id,
       a.atttypmod AS modifier, format_type(a.atttypid, a.atttypmod) AS type
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = 'weir_stage' AND c.relkind = 'r' AND c.relname = :stage::text
 ORDER BY a.attnum;

-- name: load_lost_stages(run int8) -> (name text)
-- Stages which nobody will go on with: their table is gone, or their runs have ended. Of tables that were to be made
-- (load_0_RUN) also where a later run of the same table has begun, or a week has passed.
SELECT s.name
  FROM (SELECT c.relname::text AS name, split_part(c.relname, '_', 2)::int8 AS target_id,
               split_part(c.relname, '_', 3)::int8 AS number
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'weir_stage' AND c.relkind = 'r' AND c.relname ~ '^load_[0-9]{1,10}_[0-9]{1,18}$'
           AND pg_has_role(c.relowner, 'USAGE')) s
  LEFT JOIN weir.load_run r ON s.target_id = 0 AND r.id = s.number
 WHERE CASE WHEN s.target_id = 0
            THEN s.number <> :run::int8
                 AND (r.id IS NULL OR r.state <> 'staging' OR r.started_at < clock_timestamp() - interval '7 days'
                      OR EXISTS (SELECT 1 FROM weir.load_run x WHERE x.target = r.target AND x.id > r.id))
            ELSE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class t WHERE t.oid::int8 = s.target_id)
                 OR (EXISTS (SELECT 1 FROM weir.load_chunk k WHERE k.stage = s.name)
                     AND NOT EXISTS (SELECT 1 FROM weir.load_chunk k LEFT JOIN weir.load_run x ON x.id = k.run
                                      WHERE k.stage = s.name AND (x.state = 'staging' OR k.run = :run::int8))) END;

-- name: load_stage_schema() -> (present bool, may_create bool)
SELECT to_regnamespace('weir_stage') IS NOT NULL AS present,
       coalesce(has_schema_privilege(to_regnamespace('weir_stage')::oid, 'CREATE'), false) AS may_create;

-- name: load_lock_stage(stage text) -> (granted bool)
SELECT pg_try_advisory_lock(hashtextextended('weir stage:' || :stage::text, 0)) AS granted;

-- name: load_unlock_stage(stage text) -> (held bool)
SELECT pg_advisory_unlock(hashtextextended('weir stage:' || :stage::text, 0)) AS held;

-- name: load_add_chunk(run int8, chunk int8, stage text, rows int8, rejects int8, bytes int8, position jsonb)
INSERT INTO weir.load_chunk (run, chunk, stage, rows, rejects, bytes, position)
VALUES (:run, :chunk, :stage, :rows, :rejects, :bytes, :position);

-- name: load_chunks(run int8) -> (chunk int8, stage text, rows int8, rejects int8, position jsonb)
SELECT c.chunk, c.stage, c.rows, c.rejects, c.position FROM weir.load_chunk c WHERE c.run = :run ORDER BY c.chunk;

-- name: load_forget_chunks(run int8, beyond int8)
-- Those behind `beyond`; -1 for all.
DELETE FROM weir.load_chunk c WHERE c.run = :run AND c.chunk > :beyond;

-- name: load_forget_stage_rejects(run int8, beyond int8)
DELETE FROM weir.load_stage_reject r WHERE r.run = :run AND r.chunk > :beyond;

-- name: load_forget_stage(stage text, run int8)
-- What runs other than `run` had in it.
WITH others AS (DELETE FROM weir.load_chunk c WHERE c.stage = :stage AND c.run <> :run::int8 RETURNING c.run)
DELETE FROM weir.load_stage_reject r WHERE r.run IN (SELECT o.run FROM others o);

-- name: load_stage_totals(run int8) -> (chunks int8, last_chunk int8, rows int8, rejects int8)
SELECT count(*) AS chunks, coalesce(max(c.chunk), -1) AS last_chunk, coalesce(sum(c.rows), 0)::int8 AS rows,
       coalesce(sum(c.rejects), 0)::int8 AS rejects
  FROM weir.load_chunk c WHERE c.run = :run;

-- name: load_unknown_keys(run int8) -> (rejects int8)
-- Rejects of the reader whose key nobody knows.
SELECT count(*) AS rejects FROM weir.load_stage_reject r WHERE r.run = :run AND NOT r.key_is_staged;

-- name: load_add_stage_rejects(
--   run int8, chunk int8, lines int8[], files text[], columns text[], sqlstates text[], reasons text[], raws bytea[],
--   staged bool[])
INSERT INTO weir.load_stage_reject (run, chunk, line, file, column_name, sqlstate, reason, raw, key_is_staged)
SELECT :run::int8, :chunk::int8, u.*
  FROM unnest(:lines::int8[], :files::text[], :columns::text[], :sqlstates::text[], :reasons::text[], :raws::bytea[],
              :staged::bool[]) u;

-- name: load_keep_stage_rejects(run int8)
-- From the reader's list to the lasting one.
INSERT INTO weir.load_reject (run, line, file, column_name, sqlstate, reason, raw)
SELECT r.run, r.line, r.file, r.column_name, r.sqlstate, r.reason, r.raw
  FROM weir.load_stage_reject r WHERE r.run = :run;

-- name: load_lock_target(target_id int8) -> (locked bool)
-- Loads of one table come one after the other; readers and other writers do not notice.
SELECT true AS locked FROM pg_advisory_xact_lock(hashtextextended('weir load:' || :target_id::int8, 0));

-- name: load_try_lock_target(target_id int8) -> (locked bool)
-- As load_lock_target, without waiting.
SELECT pg_try_advisory_xact_lock(hashtextextended('weir load:' || :target_id::int8, 0)) AS locked;

-- name: load_wal_position() -> (bytes int8)
SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8 AS bytes;

-- name: load_target_locks(target_id int8) -> (mode text)
-- Those that this session holds on the table and its partitions.
SELECT DISTINCT l.mode
  FROM pg_catalog.pg_locks l
 WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
   AND (l.relation = :target_id::int8::oid
        OR l.relation IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(:target_id::int8::oid) p));

-- name: load_begin_run(
--   pipeline text, stream text, source text, fingerprint text, target text, target_id int8, mode text) -> (id int8)
INSERT INTO weir.load_run (pipeline, stream, source, fingerprint, target, target_id, mode)
VALUES (:pipeline, :stream, :source, :fingerprint, :target, :target_id, :mode)
RETURNING id;

-- name: load_resumable(fingerprint text) -> (id int8)
-- The newest of its kind, if it was neither applied nor given up and has something in its stage.
SELECT r.id
  FROM (SELECT x.id, x.state FROM weir.load_run x WHERE x.fingerprint = :fingerprint ORDER BY x.id DESC LIMIT 1) r
 WHERE r.state = 'staging' AND EXISTS (SELECT 1 FROM weir.load_chunk c WHERE c.run = r.id);

-- name: load_finish_run(run int8, rejects int8, summary jsonb) -> (id int8)
-- In the apply transaction. Nothing when the run is not one that can be applied.
UPDATE weir.load_run r
   SET state = 'applied', rejects = :rejects, summary = :summary, error = NULL, ended_at = clock_timestamp()
 WHERE r.id = :run AND r.state = 'staging'
RETURNING r.id;

-- name: load_fail_run(run int8, error text)
UPDATE weir.load_run r SET state = 'failed', error = :error, ended_at = clock_timestamp()
 WHERE r.id = :run AND r.state = 'staging';

-- name: load_break_run(run int8, error text)
-- It ended early. What is in its stage can be gone on with where its source can be read again: then it is still staging.
UPDATE weir.load_run r
   SET error = :error, ended_at = clock_timestamp(),
       state = CASE WHEN r.fingerprint <> '' AND EXISTS (SELECT 1 FROM weir.load_chunk c WHERE c.run = r.id)
                    THEN 'staging' ELSE 'failed' END
 WHERE r.id = :run AND r.state = 'staging';

-- name: load_resume_run(run int8, target_id int8) -> (id int8)
-- Nothing when it has ended meanwhile.
UPDATE weir.load_run r SET error = NULL, ended_at = NULL, target_id = :target_id
 WHERE r.id = :run AND r.state = 'staging'
RETURNING r.id;

-- name: load_run_outcome(run int8) -> (state text, summary jsonb?)
SELECT r.state, r.summary FROM weir.load_run r WHERE r.id = :run;

-- name: load_runs(target text?, run int8?, most int8) -> (
--   id int8, pipeline text, stream text, source text, target text, mode text, state text, error text?, summary jsonb?,
--   rejects int8, started_at timestamptz, ended_at timestamptz?, running bool, resumable bool)
-- Running: a session of it is there. Resumable: the same command would go on with it.
SELECT r.id, r.pipeline, r.stream, r.source, r.target, r.mode, r.state, r.error, r.summary, r.rejects, r.started_at,
       r.ended_at,
       r.state = 'staging' AND EXISTS (
         SELECT 1 FROM pg_catalog.pg_stat_activity a
          WHERE a.datname = current_database() AND a.application_name = 'weir:load:' || r.id) AS running,
       r.state = 'staging' AND r.fingerprint <> ''
         AND EXISTS (SELECT 1 FROM weir.load_chunk c WHERE c.run = r.id)
         AND NOT EXISTS (SELECT 1 FROM weir.load_run x WHERE x.fingerprint = r.fingerprint AND x.id > r.id) AS resumable
  FROM weir.load_run r
 WHERE (:target::text IS NULL OR r.target = :target) AND (:run::int8 IS NULL OR r.id = :run)
 ORDER BY r.id DESC
 LIMIT :most;

-- name: load_rejects(run int8) -> (
--   line int8, file text, column_name text, sqlstate text, reason text, raw bytea)
SELECT r.line, r.file, r.column_name, r.sqlstate, r.reason, r.raw
  FROM weir.load_reject r WHERE r.run = :run ORDER BY r.file, r.line;

-- name: load_read_state(pipeline text, stream text) -> (state jsonb, seq int8)
SELECT s.state, s.seq FROM weir.load_state s WHERE s.pipeline = :pipeline AND s.stream = :stream;

-- name: load_lock_state(pipeline text, stream text) -> (seq int8)
SELECT s.seq FROM weir.load_state s WHERE s.pipeline = :pipeline AND s.stream = :stream FOR UPDATE;

-- name: load_first_state(pipeline text, stream text, state jsonb, run int8, rows int8) -> (seq int8)
-- Nothing when another load was faster.
INSERT INTO weir.load_state (pipeline, stream, state, seq, run, rows)
VALUES (:pipeline, :stream, :state, 1, :run, :rows)
ON CONFLICT DO NOTHING
RETURNING seq;

-- name: load_next_state(pipeline text, stream text, seq int8, state jsonb?, run int8, rows int8) -> (seq int8)
UPDATE weir.load_state s
   SET state = coalesce(:state, s.state), seq = s.seq + 1, run = :run, rows = :rows, committed_at = clock_timestamp()
 WHERE s.pipeline = :pipeline AND s.stream = :stream AND s.seq = :seq
RETURNING s.seq;

-- name: load_blockers(pid int4) -> (description text)
-- Who keeps server process `pid` waiting, or holds any lock on what it waits for.
SELECT format('pid %s (%s, user %s), %s for %s: %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),
              a.usename, a.state, date_trunc('milliseconds', clock_timestamp() - coalesce(a.xact_start, a.query_start)),
              left(a.query, 120)) AS description
  FROM unnest(pg_blocking_pids(:pid)) b (pid) JOIN pg_catalog.pg_stat_activity a ON a.pid = b.pid
 ORDER BY a.xact_start;

-- name: load_lock_holders(target_id int8) -> (description text)
-- The suspects after a lock timeout: the server does not tell whom the statement waited for.
SELECT format('pid %s (%s, user %s), %s for %s: %s', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),
              a.usename, a.state, date_trunc('milliseconds', clock_timestamp() - coalesce(a.xact_start, a.query_start)),
              left(a.query, 120)) AS description
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_backend_pid()
   AND a.pid IN (SELECT l.pid FROM pg_catalog.pg_locks l
                  WHERE l.locktype = 'relation' AND l.relation = :target_id::int8::oid)
 ORDER BY a.xact_start;

-- name: load_old_snapshot() -> (description text, age_seconds float8)
-- Who keeps VACUUM from removing what this session's last transaction has left dead: a snapshot that is older. Of
-- others' sessions only what pg_stat_activity shows to everybody.
SELECT format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed')) AS description,
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8 AS age_seconds
  FROM pg_catalog.pg_stat_activity a
 WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() AND a.backend_xmin IS NOT NULL
   AND a.backend_type <> 'autovacuum worker'
   AND age(a.backend_xmin) > 0
 ORDER BY age(a.backend_xmin) DESC
 LIMIT 1;

-- name: load_index_sizes(table_id int8) -> (name text, pages int8, tuples float8, width float8)
-- B-trees of a table, for a look at their density: width is what an entry takes on average by the statistics. As the
-- planner does, tuples are those of the last ANALYZE by the table's size now; 0 where there was none.
SELECT c.relname::text AS name, (pg_relation_size(c.oid) / current_setting('block_size')::int8)::int8 AS pages,
       coalesce(greatest(t.reltuples, 0)::float8 / nullif(t.relpages, 0)
                * pg_relation_size(t.oid) / current_setting('block_size')::int8, 0)::float8 AS tuples,
       (SELECT sum(coalesce(s.avg_width, 16))::float8
          FROM unnest(i.indkey::int2[]) k (attnum)
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
          LEFT JOIN pg_catalog.pg_stats s
                 ON s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname) AS width
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam AND m.amname = 'btree'
  JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
 WHERE i.indrelid = :table_id::int8::oid AND i.indisvalid
 ORDER BY c.relname;

-- name: load_hold_target(target_id int8) -> (locked bool)
-- As load_lock_target, for a swap: over several transactions, to the end of the session.
SELECT true AS locked FROM pg_advisory_lock(hashtextextended('weir load:' || :target_id::int8, 0));

-- name: load_try_hold_target(target_id int8) -> (locked bool)
-- As load_hold_target, without waiting.
SELECT pg_try_advisory_lock(hashtextextended('weir load:' || :target_id::int8, 0)) AS locked;

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

-- name: load_sequences(table_id int8) -> (column_name text, sequence text)
-- Of columns that get their values from one, and have an index that knows their greatest.
SELECT a.attname::text AS column_name, s.name AS sequence
  FROM pg_catalog.pg_attribute a
 CROSS JOIN LATERAL (SELECT pg_get_serial_sequence(a.attrelid::regclass::text, a.attname::text) AS name) s
 WHERE a.attrelid = :table_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped
   AND (a.attidentity <> '' OR a.atthasdef) AND s.name IS NOT NULL AND has_sequence_privilege(s.name, 'SELECT')
   AND EXISTS (SELECT 1 FROM pg_catalog.pg_index i
                WHERE i.indrelid = a.attrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = a.attnum);

-- name: load_index_names(old_id int8, new_id int8) -> (old_name text, new_name text)
-- Which index of the new table is which of the old one: those that say the same are alike.
WITH known AS (
  SELECT i.indrelid, c.relname,
         regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\1') AS says,
         i.indisprimary
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
   WHERE i.indrelid IN (:old_id::int8::oid, :new_id::int8::oid)
), counted AS (
  SELECT k.*, row_number() OVER (PARTITION BY k.indrelid, k.says, k.indisprimary ORDER BY k.relname) AS n FROM known k
)
SELECT o.relname::text AS old_name, w.relname::text AS new_name
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
