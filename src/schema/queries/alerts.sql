-- Alerts on their way: claimed, delivered, tried again. See migrations/017_alerts.sql.

-- name: add_pipeline_alert(pipeline int4, version int4, alert_no int4, events text[])
INSERT INTO weir.pipeline_alert (pipeline_id, version, alert_no, events) VALUES (:pipeline, :version, :alert_no, :events);

-- name: next_alert() -> (next_ms int8)
SELECT greatest(0, ceil(extract(epoch FROM a.due_at - clock_timestamp()) * 1000))::int8 AS next_ms
  FROM weir.alert a WHERE a.state = 'waiting' ORDER BY a.due_at LIMIT 1;

-- name: claim_alerts(wanted int4, lease_ms int8) -> (
--   id int8, attempt int4, run_id int8, event text, pipeline_id int4, pipeline text, version int4, alert_no int4, document jsonb)
-- Those that were tried least are first: an address that is down does not stand in the way of the others.
WITH due AS MATERIALIZED (
  SELECT a.id FROM weir.alert a WHERE a.state = 'waiting' AND a.due_at <= clock_timestamp()
   ORDER BY a.attempts, a.due_at LIMIT :wanted::int4 FOR UPDATE SKIP LOCKED)
UPDATE weir.alert a
   SET attempts = a.attempts + 1, due_at = clock_timestamp() + :lease_ms::int8 * interval '1 ms'
  FROM due, weir.pipeline p WHERE a.id = due.id AND p.id = a.pipeline_id
RETURNING a.id, a.attempts AS attempt, a.run_id, a.event, a.pipeline_id, p.name AS pipeline, a.version, a.alert_no, a.document;

-- name: settle_alerts(ids int8[], attempts int4[], states text[], delays_ms int8[], errors text?[]) -> (id int8)
-- As far as they are still the attempt's that tells it.
UPDATE weir.alert a
   SET state = s.state, error = s.error, due_at = clock_timestamp() + s.delay_ms * interval '1 ms',
       ended_at = CASE WHEN s.state <> 'waiting' THEN clock_timestamp() END
  FROM unnest(:ids::int8[], :attempts::int4[], :states::text[], :delays_ms::int8[], :errors::text[])
       s(id, attempt, state, delay_ms, error)
 WHERE a.id = s.id AND a.attempts = s.attempt AND a.state = 'waiting' RETURNING a.id;

-- name: forget_alerts() -> (forgotten int8)
-- They are kept as long as runs are.
WITH old AS (
  DELETE FROM weir.alert a
   WHERE a.state <> 'waiting' AND a.ended_at < clock_timestamp() - (SELECT h.keep_days FROM weir.run_history h) * interval '1 day'
  RETURNING a.id)
SELECT count(*) AS forgotten FROM old;

-- name: renew_alerts(run_id int8?) -> (alerts int8)
-- Sends once more what was given up.
WITH again AS (
  UPDATE weir.alert a SET state = 'waiting', attempts = 0, due_at = clock_timestamp(), ended_at = NULL
   WHERE a.state = 'given_up' AND (:run_id::int8 IS NULL OR a.run_id = :run_id::int8) RETURNING a.id)
SELECT count(*) AS alerts FROM again;

-- name: list_alerts(run_id int8?, most int4) -> (
--   id int8, run_id int8, pipeline text, event text, state text, attempts int4, made_at timestamptz, due_at timestamptz,
--   ended_at timestamptz?, error text?, target jsonb?)
-- The newest first. target: as the definition has it.
SELECT a.id, a.run_id, p.name AS pipeline, a.event, a.state, a.attempts, a.made_at, a.due_at, a.ended_at, a.error,
       v.definition -> 'alerts' -> a.alert_no AS target
  FROM weir.alert a JOIN weir.pipeline p ON p.id = a.pipeline_id
  LEFT JOIN weir.pipeline_version v ON v.pipeline_id = a.pipeline_id AND v.version = a.version
 WHERE (:run_id::int8 IS NULL OR a.run_id = :run_id::int8)
 ORDER BY a.id DESC LIMIT :most::int4;
