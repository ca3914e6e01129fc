-- Loads: what a table was given, how far its streams are, what was refused (src/load/write).

-- As it was (002_roles.sql), and it looks after the rights on schema weir_stage too.
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

-- Stages: UNLOGGED tables of whoever loads, kept for the next load of their target. A user who may not make schemas
-- migrates all the same; weir load says what an administrator has to do.
DO $$
BEGIN
  IF to_regnamespace('weir_stage') IS NULL THEN
    IF NOT has_database_privilege(current_database(), 'CREATE') THEN
      RETURN;
    END IF;
    CREATE SCHEMA weir_stage;
    COMMENT ON SCHEMA weir_stage IS 'What weir load reads before it touches a table. Nothing in it is of value.';
  END IF;
  INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
    ('weir_worker', 'schema', 'weir_stage', 'USAGE'),
    ('weir_worker', 'schema', 'weir_stage', 'CREATE');
END $$;

CREATE TABLE weir.load_run (
  id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pipeline    text        NOT NULL,
  stream      text        NOT NULL,
  source      text        NOT NULL,
  fingerprint text        NOT NULL,
  target      text        NOT NULL,
  target_id   int8        NOT NULL,
  mode        text        NOT NULL,
  state       text        NOT NULL DEFAULT 'staging' CHECK (state IN ('staging', 'applied', 'failed')),
  rejects     int8        NOT NULL DEFAULT 0,
  summary     jsonb,
  error       text,
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_by  text        NOT NULL DEFAULT session_user,
  ended_at    timestamptz
);
COMMENT ON TABLE weir.load_run IS 'One row for each load. `applied` is written by the transaction that wrote the rows.';
CREATE INDEX load_run_target ON weir.load_run (target, id);
CREATE INDEX load_run_fingerprint ON weir.load_run (fingerprint, id);

CREATE TABLE weir.load_state (
  pipeline     text        NOT NULL,
  stream       text        NOT NULL,
  state        jsonb       NOT NULL,
  seq          int8        NOT NULL CHECK (seq > 0),
  run          int8        NOT NULL,
  rows         int8        NOT NULL,
  committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (pipeline, stream)
);
COMMENT ON TABLE weir.load_state IS 'How far each stream is; written by the transaction that wrote its rows, fenced by seq.';

-- The two tables below say what is in stages, so they are UNLOGGED as stages are: a crash of the server empties all of
-- them together, and none of them ever speaks of rows that are gone.
CREATE UNLOGGED TABLE weir.load_chunk (
  run      int8        NOT NULL,
  chunk    int8        NOT NULL CHECK (chunk >= 0),
  stage    text        NOT NULL,
  rows     int8        NOT NULL,
  rejects  int8        NOT NULL,
  bytes    int8        NOT NULL,
  position jsonb       NOT NULL,
  at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run, chunk)
);
COMMENT ON TABLE weir.load_chunk IS 'What a running load has read so far: one row for each committed piece.';

CREATE UNLOGGED TABLE weir.load_stage_reject (
  run           int8 NOT NULL,
  chunk         int8 NOT NULL,
  line          int8 NOT NULL,
  file          text NOT NULL,
  column_name   text NOT NULL,
  sqlstate      text NOT NULL,
  reason        text NOT NULL,
  raw           bytea NOT NULL,
  key_is_staged bool NOT NULL
);
CREATE INDEX load_stage_reject_run ON weir.load_stage_reject (run, chunk);
COMMENT ON TABLE weir.load_stage_reject IS 'Records that the reader refused, until their load commits.';

CREATE TABLE weir.load_reject (
  run         int8  NOT NULL,
  line        int8  NOT NULL,
  file        text  NOT NULL,
  column_name text  NOT NULL,
  sqlstate    text  NOT NULL,
  reason      text  NOT NULL,
  raw         bytea NOT NULL
);
CREATE INDEX load_reject_run ON weir.load_reject (run, line);
COMMENT ON TABLE weir.load_reject IS 'Records that a load refused, written by the transaction that wrote its rows.';

INSERT INTO weir.role_grant (role, kind, object, privilege)
SELECT g.role, 'table', g.object, p.privilege
  FROM (VALUES ('weir_worker', 'weir.load_run', '{SELECT,INSERT,UPDATE}'::text[]),
               ('weir_worker', 'weir.load_state', '{SELECT,INSERT,UPDATE}'),
               ('weir_worker', 'weir.load_chunk', '{SELECT,INSERT,DELETE}'),
               ('weir_worker', 'weir.load_stage_reject', '{SELECT,INSERT,DELETE}'),
               ('weir_worker', 'weir.load_reject', '{SELECT,INSERT}'),
               ('weir_viewer', 'weir.load_run', '{SELECT}'),
               ('weir_viewer', 'weir.load_state', '{SELECT}'),
               ('weir_viewer', 'weir.load_chunk', '{SELECT}'),
               ('weir_viewer', 'weir.load_reject', '{SELECT}')) AS g (role, object, privileges),
       unnest(g.privileges) AS p (privilege);

SELECT weir.apply_grants();
