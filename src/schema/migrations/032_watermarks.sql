-- How far the SQL of a task has come: written in its transaction, and so with its data and its success or not at all.
CREATE TABLE weir.watermark (
  pipeline   text        NOT NULL,
  task       text        NOT NULL,
  item       text        NOT NULL DEFAULT '',
  name       text        NOT NULL DEFAULT '',
  value      jsonb,
  run_id     int8        NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (pipeline, task, item, name)
) WITH (fillfactor = 70);
COMMENT ON TABLE weir.watermark IS 'What weir.set_watermark() keeps; by names, so that it outlives a pipeline''s versions. DELETE what is to begin anew.';
COMMENT ON COLUMN weir.watermark.item IS 'Of a piece of a mapped task: its element, or the hash of a long one. Each piece has its own.';

-- Whose watermark is read and written here.
CREATE FUNCTION weir.watermark_of(OUT pipeline text, OUT task text, OUT item text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('weir.transaction', true) = 'off' THEN
    RAISE EXCEPTION 'a watermark is kept with its transaction, and this task has none' USING ERRCODE = 'feature_not_supported',
      HINT = 'It says transaction: false; put what is to be remembered into a task without that.';
  END IF;
  pipeline := coalesce(nullif(current_setting('weir.pipeline', true), ''),
                       weir.missing_setting('pipeline', 'weir.pipeline', 'mine'));
  task := coalesce(nullif(current_setting('weir.task', true), ''), weir.missing_setting('task', 'weir.task', 'mine'));
  item := coalesce(current_setting('weir.item', true), '');
  IF octet_length(item) > 200 THEN
    item := md5(item);
  END IF;
END $$;

-- With its row locked: of two runs at a time the second one waits here, and reads what the first has written.
CREATE FUNCTION weir.watermark(name text DEFAULT '') RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mine   constant record := weir.watermark_of();
  answer jsonb;
BEGIN
  LOOP
    SELECT w.value INTO answer FROM weir.watermark w
     WHERE w.pipeline = mine.pipeline AND w.task = mine.task AND w.item = mine.item AND w.name = watermark.name FOR UPDATE;
    IF FOUND THEN
      RETURN answer;
    END IF;
    INSERT INTO weir.watermark (pipeline, task, item, name, run_id)
    VALUES (mine.pipeline, mine.task, mine.item, watermark.name, weir.run_id()) ON CONFLICT DO NOTHING;
  END LOOP;
END $$;
COMMENT ON FUNCTION weir.watermark(text) IS
  'How far this task has come, as it said itself; null at first. Locks it until the end of the transaction. In a WHERE write (SELECT weir.watermark()): without the brackets it is asked for every row, and no index serves.';

CREATE FUNCTION weir.set_watermark(value jsonb, name text DEFAULT '') RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mine constant record := weir.watermark_of();
BEGIN
  PERFORM weir.watermark(name);
  UPDATE weir.watermark w SET value = set_watermark.value, run_id = weir.run_id(), changed_at = clock_timestamp()
   WHERE w.pipeline = mine.pipeline AND w.task = mine.task AND w.item = mine.item AND w.name = set_watermark.name;
END $$;
COMMENT ON FUNCTION weir.set_watermark(jsonb, text) IS 'How far this task has come: what weir.watermark() says from now on, if the task succeeds.';

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'table', 'weir.watermark', p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.watermark', 'SELECT'
  UNION ALL
  SELECT 'weir_worker', 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY['weir.watermark_of()', 'weir.watermark(text)', 'weir.set_watermark(jsonb, text)']) f;

SELECT weir.apply_grants();
