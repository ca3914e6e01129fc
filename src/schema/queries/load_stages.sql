-- Loads (src/load/write): stages, the pieces in them, and what the reader has rejected.

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

-- name: load_stage_folder() -> (folder text?)
-- Where the server puts a table that is made now, as it calls the folder itself. Null where it is reached over the
-- network, or does not tell this user.
SELECT CASE WHEN inet_server_addr() IS NULL
            THEN coalesce(nullif(pg_tablespace_location(t.oid), ''),
                          (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'data_directory')) END::text AS folder
  FROM pg_catalog.pg_database d
  JOIN pg_catalog.pg_tablespace t
    ON CASE WHEN current_setting('default_tablespace') = '' THEN t.oid = d.dattablespace
            ELSE t.spcname = current_setting('default_tablespace')::name END
 WHERE d.datname = current_database();
