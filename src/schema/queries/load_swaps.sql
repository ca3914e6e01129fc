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
SELECT format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', :new_id::int8::oid::regclass)
  FROM pg_catalog.pg_class o WHERE o.oid = :old_id::int8::oid AND o.relforcerowsecurity
UNION ALL
SELECT format('ALTER TABLE %s SET (%s)', :new_id::int8::oid::regclass,
              (SELECT string_agg('toast.' || u.setting, ', ') FROM unnest(t.reloptions) AS u (setting)))
  FROM pg_catalog.pg_class o JOIN pg_catalog.pg_class t ON t.oid = o.reltoastrelid
 WHERE o.oid = :old_id::int8::oid AND t.reloptions IS NOT NULL
UNION ALL
SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', :new_id::int8::oid::regclass, a.attname, a.attstattarget)
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = :old_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
UNION ALL
SELECT format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', :new_id::int8::oid::regclass, a.attname,
              array_to_string(a.attoptions, ', '))
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = :old_id::int8::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attoptions IS NOT NULL;

-- name: load_owner(relation_id int8) -> (name text, mine bool)
SELECT pg_get_userbyid(c.relowner)::text AS name, pg_get_userbyid(c.relowner) = current_user AS mine
  FROM pg_catalog.pg_class c WHERE c.oid = :relation_id::int8::oid;

-- name: load_revokes(named text) -> (statement text)
-- Afterwards nobody may do anything with what was made a moment ago, its owner neither: default privileges may have given
-- it to whom the old one was not given.
SELECT DISTINCT format('REVOKE ALL ON %s%s FROM %s;', CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END, c.oid::regclass,
                       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END) AS statement
  FROM pg_catalog.pg_class c,
       aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) x
 WHERE c.oid = to_regclass(:named);

-- name: load_grants(relation_id int8, named text) -> (statement text)
-- What gives the rights to a relation to the one of that name, which has the same owner, and to which nobody has any: each
-- by whom it was given, if this session may speak for him and he sees the schema, else by the owner. Who passes a right on
-- has got it before.
WITH RECURSIVE relation AS (
  SELECT c.oid, c.relowner, c.relnamespace, CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END AS word,
         coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)) AS acl
    FROM pg_catalog.pg_class c WHERE c.oid = :relation_id::int8::oid
), given AS (
  SELECT row_number() OVER () AS n, x.*
    FROM (SELECT NULL::name AS attname, x.* FROM relation r, aclexplode(r.acl) x
           UNION ALL
          SELECT a.attname, x.*
            FROM relation r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped,
                 aclexplode(a.attacl) x) x
), reached (n, depth) AS (
  SELECT g.n, 0 FROM given g JOIN relation r ON g.grantor = r.relowner
  UNION
  SELECT g.n, p.depth + 1
    FROM reached p
    JOIN given b ON b.n = p.n AND b.is_grantable
    JOIN given g ON g.grantor = b.grantee AND g.privilege_type = b.privilege_type
     AND (b.attname IS NULL OR b.attname = g.attname)
    JOIN relation r ON g.grantor <> r.relowner
), ranked AS (
  SELECT g.grantor, g.grantee, g.is_grantable,
         g.privilege_type || coalesce(' (' || quote_ident(g.attname) || ')', '') AS privilege,
         (SELECT coalesce(max(p.depth), 0) FROM reached p WHERE p.n = g.n) AS depth
    FROM given g
), grants AS (
  SELECT k.depth, k.grantor,
         format('GRANT %s ON %s%s TO %s%s;', string_agg(k.privilege, ', '), r.word, :named::text,
                CASE k.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(k.grantee)) END,
                CASE WHEN k.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS statement,
         k.depth > 0
           AND pg_has_role(session_user, k.grantor,
                           CASE WHEN current_setting('server_version_num')::int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END)
           AND has_schema_privilege(k.grantor, r.relnamespace, 'USAGE') AS by_himself
    FROM ranked k, relation r
   GROUP BY k.depth, k.grantor, k.grantee, k.is_grantable, r.word, r.relnamespace
)
SELECT CASE WHEN g.by_himself THEN format('SET LOCAL ROLE %I; %s RESET ROLE;', pg_get_userbyid(g.grantor), g.statement)
            ELSE g.statement END AS statement
  FROM grants g
 ORDER BY g.depth, g.statement;

-- name: load_identities(old_id int8, new_id int8) -> (statement text)
-- A sequence of an identity goes on where the old one is. Never RESTART.
SELECT format('SELECT setval(%L::regclass, s.last_value, s.is_called) FROM %s s',
              pg_get_serial_sequence(:new_id::int8::oid::regclass::text, a.attname),
              pg_get_serial_sequence(:old_id::int8::oid::regclass::text, a.attname)) AS statement
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = :old_id::int8::oid AND a.attidentity <> '' AND NOT a.attisdropped;

-- name: load_identity_sequences(old_id int8, new_id int8) -> (old_id int8, old_name text, new_name text)
-- Which sequence of an identity is which.
SELECT o.oid::int8 AS old_id, o.relname::text AS old_name, n.relname::text AS new_name
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_attribute b ON b.attrelid = :new_id::int8::oid AND b.attname = a.attname
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid
   AND d.refobjsubid = a.attnum AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'i'
  JOIN pg_catalog.pg_class o ON o.oid = d.objid AND o.relkind = 'S'
  JOIN pg_catalog.pg_depend e ON e.refclassid = 'pg_catalog.pg_class'::regclass AND e.refobjid = b.attrelid
   AND e.refobjsubid = b.attnum AND e.classid = 'pg_catalog.pg_class'::regclass AND e.deptype = 'i'
  JOIN pg_catalog.pg_class n ON n.oid = e.objid AND n.relkind = 'S'
 WHERE a.attrelid = :old_id::int8::oid AND a.attidentity <> '' AND NOT a.attisdropped;

-- name: load_statistics(old_id int8, new_id int8) -> (setting text?, placing text)
-- Which extended statistics are which: LIKE gives them other names, and they do not move with their table. The setting is
-- for ANALYZE; the placing comes when the old ones are gone. It is what this session may do: an owner for whom it may not
-- speak is followed by the table's, and who may not make anything in a schema leaves them beside the table.
WITH known AS (
  SELECT s.oid, s.stxrelid, s.stxnamespace, s.stxname, s.stxowner, s.stxstattarget,
         concat_ws(' ', s.stxkind::text, pg_get_statisticsobjdef_expressions(s.oid)::text,
                   (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname)
                      FROM pg_catalog.pg_attribute a
                     WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[]))) AS says
    FROM pg_catalog.pg_statistic_ext s
   WHERE s.stxrelid IN (:old_id::int8::oid, :new_id::int8::oid)
), counted AS (
  SELECT k.*, row_number() OVER (PARTITION BY k.stxrelid, k.says ORDER BY k.oid) AS n FROM known k
)
SELECT CASE WHEN o.stxstattarget >= 0 THEN
         format('ALTER STATISTICS %s.%I SET STATISTICS %s', w.stxnamespace::regnamespace, w.stxname, o.stxstattarget)
       END AS setting,
       concat(
         CASE WHEN p.namespace <> w.stxnamespace THEN
           format('ALTER STATISTICS %s.%I SET SCHEMA %s;', w.stxnamespace::regnamespace, w.stxname, p.namespace::regnamespace) END,
         CASE WHEN p.name <> w.stxname THEN
           format(' ALTER STATISTICS %s.%I RENAME TO %I;', p.namespace::regnamespace, w.stxname, p.name) END,
         (SELECT format(' ALTER STATISTICS %s.%I OWNER TO %I;', p.namespace::regnamespace, p.name, pg_get_userbyid(c.owner))
            FROM (VALUES (1, o.stxowner), (2, t.relowner)) c (n, owner)
           WHERE c.owner = w.stxowner OR me.rolsuper
              OR pg_has_role(current_user, c.owner,
                             CASE WHEN current_setting('server_version_num')::int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END)
             AND has_schema_privilege(c.owner, p.namespace, 'CREATE')
           ORDER BY c.n LIMIT 1)) AS placing
  FROM counted o JOIN counted w ON w.says = o.says AND w.n = o.n
  JOIN pg_catalog.pg_class t ON t.oid = w.stxrelid
  JOIN pg_catalog.pg_roles me ON me.rolname = current_user
 CROSS JOIN LATERAL (SELECT CASE WHEN x.may THEN o.stxnamespace ELSE t.relnamespace END AS namespace,
                            CASE WHEN x.may THEN o.stxname ELSE w.stxname END AS name
                       FROM (SELECT has_schema_privilege(o.stxnamespace, 'CREATE')
                                AND has_schema_privilege(o.stxnamespace, 'USAGE') AS may) x) p
 WHERE o.stxrelid = :old_id::int8::oid AND w.stxrelid = :new_id::int8::oid;

-- name: load_owned_sequences(old_id int8) -> (name text, column_name text)
-- Of serial columns: they would go with the old table.
SELECT d.objid::regclass::text AS name, a.attname::text AS column_name
  FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
   AND d.refobjid = :old_id::int8::oid AND d.deptype = 'a';

-- name: load_storage(table_id int8) -> (tablespace text, method text?)
-- Where a table is, and how it is kept; that of the database is said too, for a session may have another default.
SELECT s.spcname::text AS tablespace,
       (SELECT m.amname::text FROM pg_catalog.pg_am m WHERE m.oid = c.relam) AS method
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_database d ON d.datname = current_database()
  JOIN pg_catalog.pg_tablespace s ON s.oid = coalesce(nullif(c.reltablespace, 0), d.dattablespace)
 WHERE c.oid = :table_id::int8::oid;

-- name: load_index_names(old_id int8, new_id int8) -> (
--   old_name text, new_name text, is_identity bool, is_clustered bool, comment text?)
-- Which index of the new table is which of the old one: those that say the same are alike. The comment is that of its
-- constraint: LIKE copies that of the index.
WITH known AS (
  SELECT i.indrelid, i.indexrelid, c.relname,
         regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\1') AS says,
         i.indisprimary, i.indisreplident, i.indisclustered
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
   WHERE i.indrelid IN (:old_id::int8::oid, :new_id::int8::oid)
), counted AS (
  SELECT k.*, row_number() OVER (PARTITION BY k.indrelid, k.says, k.indisprimary ORDER BY k.relname) AS n FROM known k
)
SELECT o.relname::text AS old_name, w.relname::text AS new_name, o.indisreplident AS is_identity,
       o.indisclustered AS is_clustered,
       (SELECT obj_description(k.oid, 'pg_constraint')
          FROM pg_catalog.pg_constraint k
         WHERE k.conindid = o.indexrelid AND k.conrelid = o.indrelid AND k.contype IN ('p', 'u', 'x')) AS comment
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
