-- What SQL of a task asks about its run: settings of its transaction.
CREATE FUNCTION weir.missing_setting(what text, setting text, example text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'no % here', what
    USING ERRCODE = 'undefined_object',
          HINT = format('A task of a run has it. Elsewhere: SELECT set_config(%L, %L, false)', setting, example);
END $$;

CREATE FUNCTION weir.param(name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.params', true), '')::jsonb ->> name,
                weir.missing_setting(format('parameter %L', name), 'weir.params', format('{%s: ".."}', to_json(name))));

CREATE FUNCTION weir.param(name text, otherwise text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.params', true), '')::jsonb ->> name, otherwise);

CREATE FUNCTION weir.item() RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.item', true), ''),
                weir.missing_setting('item', 'weir.item', '{"id": 1}'))::jsonb;

CREATE FUNCTION weir.interval_start() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.interval_start', true), ''),
                weir.missing_setting('interval', 'weir.interval_start', '2026-01-01T00:00:00Z'))::timestamptz;

CREATE FUNCTION weir.interval_end() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.interval_end', true), ''),
                weir.missing_setting('interval', 'weir.interval_end', '2026-01-02T00:00:00Z'))::timestamptz;

CREATE FUNCTION weir.logical_time() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.logical_time', true), ''),
                weir.missing_setting('logical time', 'weir.logical_time', '2026-01-02T00:00:00Z'))::timestamptz;

CREATE FUNCTION weir.run_id() RETURNS int8
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('weir.run_id', true), ''),
                weir.missing_setting('run', 'weir.run_id', '1'))::int8;

-- They only tell a transaction about itself: who may do anything here may call them, so that the same file runs in psql.
INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT r, 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY['weir_producer', 'weir_worker', 'weir_viewer']) r,
         unnest(ARRAY['weir.missing_setting(text, text, text)', 'weir.param(text)', 'weir.param(text, text)', 'weir.item()',
                      'weir.interval_start()', 'weir.interval_end()', 'weir.logical_time()', 'weir.run_id()']) f;

SELECT weir.apply_grants();
