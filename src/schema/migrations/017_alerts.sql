-- Alerts: who is told when a run fails, succeeds or is late. An alert is a row that is written in the transaction that decides
-- it, and stays until somebody has delivered it: what is told waits for nobody, and nobody waits for it.

CREATE TABLE weir.pipeline_alert (
  pipeline_id int4   NOT NULL,
  version     int4   NOT NULL,
  alert_no    int4   NOT NULL,
  events      text[] NOT NULL,
  PRIMARY KEY (pipeline_id, version, alert_no)
);
COMMENT ON TABLE weir.pipeline_alert IS 'What the alerts of a definition are told of; where to is in the definition, number alert_no of its list.';
INSERT INTO weir.pipeline_alert (pipeline_id, version, alert_no, events)
  SELECT v.pipeline_id, v.version, a.place - 1, ARRAY(SELECT jsonb_array_elements_text(a.said -> 'when'))
    FROM weir.pipeline_version v CROSS JOIN LATERAL jsonb_array_elements(v.definition -> 'alerts') WITH ORDINALITY a(said, place);

-- Pipelines with alerts whose last run has failed.
CREATE TABLE weir.pipeline_failing (
  pipeline_id int4 PRIMARY KEY,
  run_id      int8 NOT NULL
);

CREATE TABLE weir.alert (
  id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id      int8        NOT NULL,
  made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at    timestamptz,
  pipeline_id int4        NOT NULL,
  version     int4        NOT NULL,
  alert_no    int4        NOT NULL,
  attempts    int4        NOT NULL DEFAULT 0,
  event       text        NOT NULL CHECK (event IN ('failed', 'late', 'success', 'recovered')),
  state       text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'given_up')),
  document    jsonb       NOT NULL,
  error       text,
  CHECK ((state = 'waiting') = (ended_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX alert_due ON weir.alert (due_at) WHERE state = 'waiting';
CREATE INDEX alert_ended ON weir.alert (ended_at) WHERE state <> 'waiting';
CREATE INDEX alert_run ON weir.alert (run_id);
COMMENT ON COLUMN weir.alert.due_at IS 'When it is sent, or tried again. Who sends it moves it on first: if he dies, it is due again by itself.';
COMMENT ON COLUMN weir.alert.attempts IS 'Counted when it is claimed; it is the fence of who sends it.';
COMMENT ON COLUMN weir.alert.error IS 'Why the last attempt failed. Never an address: that may be a secret.';

-- 2026-03-29T01:00:00Z
CREATE FUNCTION weir.utc_text(at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (to_jsonb(at AT TIME ZONE 'UTC') #>> '{}') || 'Z';

-- Writes an alert for each that the definition has for one of these events, the first that fits; answers how many. `more` is laid
-- over what every document says of its run.
CREATE FUNCTION weir.add_alerts(run weir.run_done, events text[], more jsonb) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  added int4;
BEGIN
  INSERT INTO weir.alert (run_id, pipeline_id, version, alert_no, event, document)
  SELECT run.id, run.pipeline_id, run.version, a.alert_no, e.event,
         jsonb_strip_nulls(jsonb_build_object(
           'event', e.event, 'project', p.project, 'pipeline', p.name, 'run', run.id, 'kind', run.kind, 'version', run.version,
           'state', run.state, 'logical_at', weir.utc_text(run.logical_at), 'interval_start', weir.utc_text(run.interval_start),
           'interval_end', weir.utc_text(run.interval_end), 'started_at', weir.utc_text(run.started_at),
           'ended_at', weir.utc_text(run.ended_at)) || more)
         || jsonb_build_object('text', CASE e.event
              WHEN 'failed' THEN format('%s failed: run %s for %s%s', p.name, run.id, weir.utc_text(run.logical_at),
                                        coalesce(': ' || (more -> 'failed_tasks' -> 0 ->> 'task')
                                                 || coalesce(': ' || left(split_part(more -> 'failed_tasks' -> 0 ->> 'error', E'\n', 1), 300), ''), ''))
              WHEN 'late' THEN format('%s is late: run %s for %s was to have ended by %s, and is %s', p.name, run.id,
                                      weir.utc_text(run.logical_at), weir.utc_text(run.late_at), run.state)
              WHEN 'recovered' THEN format('%s succeeds again: run %s for %s', p.name, run.id, weir.utc_text(run.logical_at))
              ELSE format('%s succeeded: run %s for %s', p.name, run.id, weir.utc_text(run.logical_at)) END)
    FROM weir.pipeline_alert a JOIN weir.pipeline p ON p.id = a.pipeline_id
   CROSS JOIN LATERAL (SELECT w.event FROM unnest(add_alerts.events) WITH ORDINALITY w(event, place)
                        WHERE w.event = ANY (a.events) ORDER BY w.place LIMIT 1) e
   WHERE a.pipeline_id = run.pipeline_id AND a.version = run.version
   ORDER BY a.alert_no;
  GET DIAGNOSTICS added = ROW_COUNT;
  RETURN added;
END $$;

-- The alerts of a run that this transaction has ended. Called in the order of pipelines: it locks a row of each.
CREATE FUNCTION weir.alert_end(run int8) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  d      weir.run_done;
  failed jsonb;
  added  int4 := 0;
BEGIN
  -- Bounded, so that one partition or two are looked into; a day, for clocks may step.
  SELECT * INTO d FROM weir.run_done o WHERE o.id = run AND o.ended_at > now() - interval '1 day';
  IF NOT FOUND OR d.state = 'cancelled' THEN
    RETURN 0;
  END IF;
  -- Nobody has told that it was late, and it was.
  IF d.late_at < d.ended_at THEN
    added := weir.add_alerts(d, ARRAY['late'], jsonb_build_object('deadline', weir.utc_text(d.late_at)));
  END IF;
  IF d.state = 'failed' THEN
    INSERT INTO weir.pipeline_failing AS f (pipeline_id, run_id) VALUES (d.pipeline_id, d.id)
    ON CONFLICT (pipeline_id) DO UPDATE SET run_id = excluded.run_id;
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('task', t.name, 'attempt', t.attempt, 'error', left(t.error, 2000))))
      INTO failed
      FROM (SELECT k.name, t.attempt, t.error
              FROM weir.task_done t
              JOIN weir.pipeline_task k ON k.pipeline_id = d.pipeline_id AND k.version = d.version AND k.task_no = t.task_no
             WHERE t.run_id = d.id AND t.run_ended_at = d.ended_at AND t.item < 0 AND t.state = 'failed' AND NOT k.allow_failure
             ORDER BY t.task_no LIMIT 20) t;
    RETURN added + weir.add_alerts(d, ARRAY['failed'], jsonb_build_object('tasks', d.tasks, 'failed_tasks', failed));
  END IF;
  DELETE FROM weir.pipeline_failing f WHERE f.pipeline_id = d.pipeline_id;
  RETURN added + weir.add_alerts(d, CASE WHEN FOUND THEN ARRAY['recovered', 'success'] ELSE ARRAY['success'] END,
                                 jsonb_build_object('tasks', d.tasks));
END $$;

-- Runs that are past their deadline, each once: the alert is in the transaction that forgets the deadline. One that somebody
-- has locked is ending or being cancelled, and is looked at the next time.
CREATE FUNCTION weir.find_late_runs() RETURNS TABLE (run_id int8, pipeline text, logical_at timestamptz, alerts int4)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  r weir.run;
  d weir.run_done;
BEGIN
  FOR r IN SELECT u.* FROM weir.run u WHERE u.late_at < clock_timestamp() ORDER BY u.late_at LIMIT 1000 FOR UPDATE SKIP LOCKED LOOP
    UPDATE weir.run u SET late_at = NULL WHERE u.id = r.id;
    d := jsonb_populate_record(NULL::weir.run_done, to_jsonb(r));
    RETURN QUERY
      SELECT r.id, p.name, r.logical_at,
             weir.add_alerts(d, ARRAY['late'], jsonb_build_object('deadline', weir.utc_text(r.late_at)))
        FROM weir.pipeline p WHERE p.id = r.pipeline_id;
  END LOOP;
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'table', 'weir.' || t, p
    FROM unnest(ARRAY['pipeline_alert', 'pipeline_failing', 'alert']) t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT' FROM unnest(ARRAY['pipeline_alert', 'pipeline_failing', 'alert']) t
  UNION ALL
  SELECT 'weir_worker', 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY['weir.utc_text(timestamptz)', 'weir.add_alerts(weir.run_done, text[], jsonb)', 'weir.alert_end(int8)',
                      'weir.find_late_runs()']) f;

-- What a command that runs says of how far it is: {"attempt", "done", "of"}. In its row, which goes to history without it.
ALTER TABLE weir.task ADD COLUMN progress jsonb;
COMMENT ON COLUMN weir.task.progress IS 'Of the attempt that it names; an older one counts for nothing.';

SELECT weir.apply_grants();
