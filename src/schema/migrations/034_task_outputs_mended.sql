-- weir.output() as it was; of a task that is not there it tells which there are.

CREATE OR REPLACE FUNCTION weir.output(task_name text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  answer jsonb;
BEGIN
  -- Of a mapped task a list: what its pieces have put out, in their order.
  SELECT coalesce(t.output, (SELECT jsonb_agg(p.output ORDER BY p.item) FROM weir.task p
                              WHERE p.run_id = t.run_id AND p.task_no = t.task_no AND p.item >= 0))
    INTO answer
    FROM weir.run r
    JOIN weir.pipeline_task k ON k.pipeline_id = r.pipeline_id AND k.version = r.version AND k.name = task_name
    JOIN weir.task t ON t.run_id = r.id AND t.task_no = k.task_no AND t.item = -1
   WHERE r.id = weir.run_id();
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the run has no task %', quote_literal(task_name)
      USING ERRCODE = 'undefined_object',
            HINT = coalesce('It has: ' || (
              SELECT string_agg(tasks.name, ', ' ORDER BY tasks.task_no) FROM (
                SELECT k.name, k.task_no
                  FROM weir.run r JOIN weir.pipeline_task k ON k.pipeline_id = r.pipeline_id AND k.version = r.version
                 WHERE r.id = weir.run_id() ORDER BY k.task_no LIMIT 50) tasks), 'weir runs RUN lists its tasks.');
  END IF;
  RETURN answer;
END $$;
