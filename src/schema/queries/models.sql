-- Models that are views (src/pipeline/run/model_view.cc).

-- name: view_extras(view text) -> (what text)
-- What nothing of ours would make again.
SELECT 'trigger ' || quote_ident(t.tgname) AS what
  FROM pg_catalog.pg_trigger t WHERE t.tgrelid = to_regclass(:view)
UNION ALL
SELECT 'rule ' || quote_ident(r.rulename)
  FROM pg_catalog.pg_rewrite r WHERE r.ev_class = to_regclass(:view) AND r.rulename <> '_RETURN'
UNION ALL
SELECT 'default of column ' || quote_ident(a.attname)
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass(:view) AND a.atthasdef;

-- name: view_definition(view text) -> (definition text)
-- As the server writes it down: of the same SELECT the same.
SELECT pg_get_viewdef(c.oid) AS definition
  FROM pg_catalog.pg_class c WHERE c.oid = to_regclass(:view) AND c.relkind = 'v';

-- name: view_keepsakes(view text) -> (column_name text?, statement text)
-- What makes another view what this one is: owner, options, comments, rights, in the order in which they are given. With a
-- column: where there is one of that name.
SELECT k.column_name, k.statement
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT format('%I.%I', n.nspname, c.relname) AS name) v
 CROSS JOIN LATERAL (
   SELECT 1 AS place, NULL::text AS column_name,
          format('ALTER VIEW %s SET (%s)', v.name, array_to_string(c.reloptions, ', ')) AS statement
    WHERE c.reloptions IS NOT NULL
   UNION ALL
   SELECT 2, NULL, format('COMMENT ON VIEW %s IS %L', v.name, obj_description(c.oid, 'pg_class'))
    WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
   UNION ALL
   SELECT 3, a.attname::text, format('COMMENT ON COLUMN %s.%I IS %L', v.name, a.attname, col_description(c.oid, a.attnum))
     FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NOT NULL
   UNION ALL
   SELECT 4, NULL, format('GRANT %s ON %s TO %s%s', x.privilege_type, v.name,
                          CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                          CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
     FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner
   UNION ALL
   SELECT 5, a.attname::text, format('GRANT %s (%I) ON %s TO %s%s', x.privilege_type, a.attname, v.name,
                                     CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                                     CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
     FROM pg_catalog.pg_attribute a, aclexplode(a.attacl) x
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
   UNION ALL
   SELECT 6, NULL, format('ALTER VIEW %s OWNER TO %I', v.name, pg_get_userbyid(c.relowner))
    WHERE pg_get_userbyid(c.relowner) <> current_user) k
 WHERE c.oid = to_regclass(:view) AND c.relkind = 'v'
 ORDER BY k.place, k.column_name, k.statement;

-- name: view_columns(view text) -> (name text)
SELECT a.attname::text AS name
  FROM pg_catalog.pg_attribute a WHERE a.attrelid = to_regclass(:view) AND a.attnum > 0 AND NOT a.attisdropped;

-- name: view_grantees(view text) -> (statement text)
-- Default privileges give a new view rights that the old one may not have had.
SELECT DISTINCT format('REVOKE ALL ON %I.%I FROM %s', n.nspname, c.relname,
                       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END) AS statement
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) x
 WHERE c.oid = to_regclass(:view) AND x.grantee <> c.relowner;
