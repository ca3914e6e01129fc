-- Least privilege. Three group roles (NOLOGIN) that an administrator grants to the users programs connect as:
--   weir_producer  calls the functions that hand work in, and reads no table
--   weir_worker    does the work: the statements that workers run, and no more
--   weir_viewer    reads
-- What each may do is data: a migration that makes a table or a function says so beside it, by rows in
-- weir.role_grant, and ends with `SELECT weir.apply_grants();`, which makes the catalogue agree with these rows.

CREATE TABLE weir.role_grant (
  role      text NOT NULL CHECK (role IN ('weir_producer', 'weir_worker', 'weir_viewer')),
  kind      text NOT NULL CHECK (kind IN ('schema', 'table', 'sequence', 'routine')),
  object    text NOT NULL,  -- weir.job, or weir.enqueue(text, jsonb) with the types of the arguments
  privilege text NOT NULL CHECK (privilege = upper(privilege)),
  PRIMARY KEY (role, kind, object, privilege)
);
COMMENT ON TABLE weir.role_grant IS 'What each group role may do in schema weir; weir.apply_grants() makes it so.';

-- A role of one of the names that can log in, or is more than a group, was not made for this: somebody else's
-- role must not get rights because of its name, so it is left alone and reported.
CREATE VIEW weir.group_role AS
  SELECT r.oid, r.rolname::text AS name,
         NOT (r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication
              OR r.rolbypassrls) AS is_group
    FROM pg_catalog.pg_roles r
   WHERE r.rolname IN ('weir_producer', 'weir_worker', 'weir_viewer');

-- Makes the roles that are missing, where the caller may. Roles belong to the whole server: migrations of other
-- databases may make them at the same moment, and then either error means that they are there.
CREATE FUNCTION weir.create_roles() RETURNS TABLE (role text, outcome text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  FOREACH role IN ARRAY ARRAY['weir_producer', 'weir_worker', 'weir_viewer'] LOOP
    SELECT CASE WHEN g.is_group THEN 'present' ELSE 'foreign' END INTO outcome
      FROM weir.group_role g WHERE g.name = role;
    IF NOT FOUND THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        outcome := 'created';
      EXCEPTION
        WHEN duplicate_object OR unique_violation THEN outcome := 'present';
        WHEN insufficient_privilege THEN outcome := 'denied';
      END;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION weir.create_roles() IS 'Makes the group roles; outcome: created, present, foreign or denied.';

-- Idempotent; it touches the catalogue only where something differs. Takes away what the three roles and PUBLIC have
-- in schema weir beyond weir.role_grant: PostgreSQL lets PUBLIC execute every new function, and default privileges
-- of one schema cannot revoke that. Returns the statements it ran. Two at the same time would disturb each other:
-- migrations run one after the other, and so it is called by them, and by hand only between them.
CREATE FUNCTION weir.apply_grants() RETURNS TABLE (statement text)
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
        FROM pg_namespace n WHERE n.nspname = 'weir'
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
    )
    SELECT format('%s %s ON %s %s %s %s',
                  CASE WHEN c.is_grant THEN 'GRANT' ELSE 'REVOKE' END, c.privilege, upper(c.kind),
                  CASE c.kind WHEN 'schema' THEN c.object::regnamespace::text
                              WHEN 'routine' THEN c.object::regprocedure::text
                              ELSE c.object::regclass::text END,
                  CASE WHEN c.is_grant THEN 'TO' ELSE 'FROM' END,
                  CASE c.grantee WHEN 0 THEN 'PUBLIC' ELSE c.grantee::regrole::text END)
      FROM change c
     ORDER BY 1
  LOOP
    EXECUTE statement;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION weir.apply_grants() IS 'Makes the rights in schema weir agree with weir.role_grant.';

INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_producer', 'schema', 'weir', 'USAGE'),
  ('weir_worker',   'schema', 'weir', 'USAGE'),
  ('weir_viewer',   'schema', 'weir', 'USAGE'),
  ('weir_worker',   'table', 'weir.schema_migration', 'SELECT'),
  ('weir_viewer',   'table', 'weir.schema_migration', 'SELECT'),
  ('weir_worker',   'table', 'weir.instance', 'SELECT'),
  ('weir_viewer',   'table', 'weir.instance', 'SELECT'),
  ('weir_viewer',   'table', 'weir.role_grant', 'SELECT'),
  ('weir_viewer',   'table', 'weir.group_role', 'SELECT');

SELECT weir.apply_grants();
