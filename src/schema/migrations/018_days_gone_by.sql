-- Whoever makes a run when it is due asks history whether it was made before. Its answer is in the days since its logical
-- time; asked without that bound, it looked into every day that is kept, and locked each of them.

-- Answers null where the pipeline has a run of the kind for that time, living or ended. The caller's transaction holds
-- the pipeline's row from here on.
CREATE OR REPLACE FUNCTION weir.create_run(pipeline int4, kind text, logical_at timestamptz, interval_start timestamptz,
                                interval_end timestamptz, params jsonb, priority int4 DEFAULT 0,
                                late_at timestamptz DEFAULT NULL, backfill int8 DEFAULT NULL) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  p      weir.pipeline;
  new_id int8;
  -- Variables, and plans made for their values: so the server leaves the other days out before it locks them. What is asked
  -- for by hand may be of any time, the future too. A day on either side, for clocks may step.
  timed  bool := kind IN ('scheduled', 'dataset');
  oldest timestamptz := CASE WHEN timed THEN logical_at - interval '1 day' ELSE '-infinity' END;
  newest timestamptz := CASE WHEN timed THEN clock_timestamp() + interval '1 day' ELSE 'infinity' END;
BEGIN
  SELECT * INTO p FROM weir.pipeline k WHERE k.id = pipeline FOR NO KEY UPDATE;
  IF NOT FOUND OR p.removed THEN
    RAISE EXCEPTION 'there is no pipeline %', pipeline USING ERRCODE = 'no_data_found';
  END IF;
  INSERT INTO weir.run (pipeline_id, version, kind, logical_at, interval_start, interval_end, params, priority, late_at,
                        backfill_id, state)
  VALUES (p.id, p.version, create_run.kind, create_run.logical_at, create_run.interval_start, create_run.interval_end,
          create_run.params, create_run.priority, create_run.late_at, backfill, 'queued')
  ON CONFLICT ON CONSTRAINT run_pipeline_id_logical_at_kind_key DO NOTHING
  RETURNING run.id INTO new_id;
  -- Asked last: a run that ends moves to history in one transaction, and was still living when it was not found there before.
  IF new_id IS NOT NULL AND EXISTS (
       SELECT FROM weir.run_done d
        WHERE d.pipeline_id = p.id AND d.logical_at = create_run.logical_at AND d.kind = create_run.kind
          AND d.ended_at >= oldest AND d.ended_at < newest) THEN
    DELETE FROM weir.run r WHERE r.id = new_id;
    RETURN NULL;
  END IF;
  RETURN new_id;
END $$;
