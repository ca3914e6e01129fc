-- The schema that everything of Weir lives in, and the record of what was done to it.
-- It is owned by whoever migrates first; nobody else gets anything by default (002_roles.sql).
-- An administrator who grants nobody CREATE on the database may have made the empty schema for us; CREATE SCHEMA
-- IF NOT EXISTS would want the right all the same.
DO $$
BEGIN
  IF to_regnamespace('weir') IS NULL THEN
    CREATE SCHEMA weir;
  END IF;
END $$;
REVOKE ALL ON SCHEMA weir FROM PUBLIC;
COMMENT ON SCHEMA weir IS 'Weir''s own tables and functions. Changed by `weir db migrate` only.';

CREATE TABLE weir.schema_migration (
  number     int4        PRIMARY KEY CHECK (number > 0),
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_by text        NOT NULL DEFAULT session_user,
  took_ms    int8        NOT NULL
);
COMMENT ON TABLE weir.schema_migration IS 'One row for each migration that was applied, written in its transaction.';

-- Two connection strings may lead to one database, and one string to another database than yesterday: processes
-- compare this id, never host and name.
CREATE TABLE weir.instance (
  only_row   bool        PRIMARY KEY DEFAULT true CHECK (only_row),
  id         uuid        NOT NULL DEFAULT gen_random_uuid(),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE weir.instance IS 'Which installation of Weir this database is: one row, made by the first migration.';
INSERT INTO weir.instance DEFAULT VALUES;
