-- A right on single columns lies beside the rights on their table, where apply_grants() did not look: one that somebody had
-- given to a group role or to PUBLIC stayed. weir.role_grant names none, so all of them are taken back.

-- As it was (011_loads.sql) but for of_column.
CREATE OR REPLACE FUNCTION weir.apply_grants() RETURNS TABLE (statement text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  unknown text;
BEGIN
  SELECT format('%s %s', g.kind, g.object) INTO unknown
    FROM weir.role_grant g
   WHERE CASE g.kind WHEN 'schema' THEN to_regnamespace(g.object)::oid
                     WHEN 'routine' THEN to_regprocedure(g.object)::oid
                     ELSE to_regclass(g.object)::oid END IS NULL
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'weir.role_grant names %, which does not exist', unknown USING ERRCODE = 'undefined_object';
  END IF;

  FOR statement IN
    WITH wanted AS (
      SELECT r.oid AS grantee, g.kind,
             CASE g.kind WHEN 'schema' THEN to_regnamespace(g.object)::oid
                         WHEN 'routine' THEN to_regprocedure(g.object)::oid
                         ELSE to_regclass(g.object)::oid END AS object,
             g.privilege
        FROM weir.role_grant g JOIN weir.group_role r ON r.name = g.role
       WHERE r.is_group
    ), present AS (
      SELECT 'schema' AS kind, n.oid AS object, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl
        FROM pg_namespace n WHERE n.nspname IN ('weir', 'weir_stage')
      UNION ALL
      SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid,
             coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
        FROM pg_class c
       WHERE c.relnamespace = to_regnamespace('weir') AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      UNION ALL
      SELECT 'routine', p.oid, coalesce(p.proacl, acldefault('f', p.proowner))
        FROM pg_proc p WHERE p.pronamespace = to_regnamespace('weir')
    ), actual AS (
      SELECT a.grantee, p.kind, p.object, a.privilege_type AS privilege
        FROM present p, LATERAL aclexplode(p.acl) a
       WHERE a.grantee = 0 OR a.grantee IN (SELECT r.oid FROM weir.group_role r WHERE r.is_group)
    ), change AS (
      (SELECT true AS is_grant, w.* FROM wanted w EXCEPT SELECT true, a.* FROM actual a)
      UNION ALL
      (SELECT false, a.* FROM actual a EXCEPT SELECT false, w.* FROM wanted w)
    ), of_column AS (
      SELECT x.grantee, c.oid AS object, a.attname AS name, x.privilege_type AS privilege
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid, LATERAL aclexplode(a.attacl) x
       WHERE c.relnamespace = to_regnamespace('weir') AND a.attacl IS NOT NULL AND NOT a.attisdropped
         AND x.grantor = c.relowner  -- others' we cannot take back
         AND (x.grantee = 0 OR x.grantee IN (SELECT r.oid FROM weir.group_role r WHERE r.is_group))
    )
    SELECT format('%s %s ON %s %s %s %s',
                  CASE WHEN c.is_grant THEN 'GRANT' ELSE 'REVOKE' END, c.privilege, upper(c.kind),
                  CASE c.kind WHEN 'schema' THEN c.object::regnamespace::text
                              WHEN 'routine' THEN c.object::regprocedure::text
                              ELSE c.object::regclass::text END,
                  CASE WHEN c.is_grant THEN 'TO' ELSE 'FROM' END,
                  CASE c.grantee WHEN 0 THEN 'PUBLIC' ELSE c.grantee::regrole::text END)
      FROM change c
    UNION
    SELECT format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', o.privilege, o.name, o.object::regclass::text,
                  CASE o.grantee WHEN 0 THEN 'PUBLIC' ELSE o.grantee::regrole::text END)
      FROM of_column o
     ORDER BY 1
  LOOP
    EXECUTE statement;
    RETURN NEXT;
  END LOOP;
END $$;

SELECT weir.apply_grants();
