-- Pipelines. Definitions are versioned, and a run keeps the version it began with. A run that lives is one row of
-- weir.run and a row of weir.task for each of its tasks; when it ends they move to weir.run_done and weir.task_done, which
-- are partitioned by day: whatever looks for work reads living rows only, however long the history is.
-- What may happen to a task: docs/state-machine.md. Its functions: 013_tasks.sql, 014_runs.sql.

CREATE TABLE weir.pool (
  id    int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name  text NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 200),
  slots int4 CHECK (slots > 0)
);
COMMENT ON TABLE weir.pool IS 'What running tasks share; slots null: without a limit. A running task is its slot: nothing else counts.';
INSERT INTO weir.pool (name) VALUES ('default');

CREATE TABLE weir.pipeline (
  id              int4        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  max_active_runs int4        NOT NULL DEFAULT 1 CHECK (max_active_runs > 0),
  version         int4        NOT NULL DEFAULT 0,
  paused          bool        NOT NULL DEFAULT false,
  removed         bool        NOT NULL DEFAULT false,
  next_at         timestamptz,
  fired_at        timestamptz,
  name            text        NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 200),
  project         text        NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
CREATE INDEX pipeline_due ON weir.pipeline (next_at) WHERE NOT paused AND NOT removed;
COMMENT ON COLUMN weir.pipeline.next_at IS 'The next logical time that is due; who fires it moves it in the transaction that makes the run.';
COMMENT ON COLUMN weir.pipeline.fired_at IS 'The last logical time that was fired, or passed over.';

CREATE TABLE weir.pipeline_version (
  pipeline_id int4        NOT NULL,
  version     int4        NOT NULL,
  made_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  made_by     text        NOT NULL DEFAULT session_user,
  hash        text        NOT NULL,
  definition  jsonb       NOT NULL,
  PRIMARY KEY (pipeline_id, version)
);

-- What a run's tasks are made from. Tasks are numbered so that every edge points to a higher number; the last one is the
-- end of the run: it has no pool, and comes after every task that nothing else waits for.
CREATE TABLE weir.pipeline_task (
  pipeline_id   int4   NOT NULL,
  version       int4   NOT NULL,
  task_no       int4   NOT NULL,
  pool_id       int4,
  slots         int4   NOT NULL DEFAULT 1 CHECK (slots > 0),
  upstream      int4   NOT NULL,
  priority      int2   NOT NULL DEFAULT 0,
  deferred      bool   NOT NULL,
  durable       bool   NOT NULL,
  allow_failure bool   NOT NULL DEFAULT false,
  rule          text   NOT NULL,
  name          text   NOT NULL,
  successors    int4[] NOT NULL,
  produces      text[],
  PRIMARY KEY (pipeline_id, version, task_no)
);
COMMENT ON COLUMN weir.pipeline_task.deferred IS 'One of its successors has many tasks before it: they are told together, in batches, so that its row is not hot.';
COMMENT ON COLUMN weir.pipeline_task.durable IS 'Its start must outlive a crash of the server: what it does is not undone by one.';

-- Which pipelines run when datasets were updated, and which of these were since their last run.
CREATE TABLE weir.pipeline_dataset (
  dataset     text NOT NULL,
  pipeline_id int4 NOT NULL,
  PRIMARY KEY (dataset, pipeline_id)
);
CREATE TABLE weir.dataset_update (
  pipeline_id int4        NOT NULL,
  dataset     text        NOT NULL,
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (pipeline_id, dataset)
);

CREATE SEQUENCE weir.run_id;

CREATE TABLE weir.run (
  id             int8        NOT NULL DEFAULT nextval('weir.run_id') PRIMARY KEY,
  logical_at     timestamptz NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end   timestamptz NOT NULL,
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at     timestamptz,
  late_at        timestamptz,
  backfill_id    int8,
  pipeline_id    int4        NOT NULL,
  version        int4        NOT NULL,
  priority       int2        NOT NULL DEFAULT 0,
  cancelled      bool        NOT NULL DEFAULT false,
  state          text        NOT NULL CHECK (state IN ('queued', 'running')),
  kind           text        NOT NULL CHECK (kind IN ('scheduled', 'manual', 'backfill', 'dataset')),
  made_by        text        NOT NULL DEFAULT session_user,
  params         jsonb       NOT NULL DEFAULT '{}',
  UNIQUE (pipeline_id, logical_at, kind)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, vacuum_truncate = off);
-- Backfills may be many, and have limits of their own: nobody else walks over them.
CREATE INDEX run_queued ON weir.run (pipeline_id, priority DESC, logical_at, id) WHERE state = 'queued' AND backfill_id IS NULL;
CREATE INDEX run_backfill ON weir.run (pipeline_id, backfill_id, logical_at, id) WHERE state = 'queued' AND backfill_id IS NOT NULL;
CREATE INDEX run_running ON weir.run (pipeline_id, backfill_id) WHERE state = 'running';
CREATE INDEX run_late ON weir.run (late_at) WHERE late_at IS NOT NULL;
COMMENT ON TABLE weir.run IS 'Runs that wait for their turn or run; those that ended are in weir.run_done.';

-- item: -1 is the task itself; 0 and up are the pieces that a mapped task was cut into, and the task comes after them.
-- Rows are locked in the order (run_id, task_no, item DESC): a piece before its task, a task before its successors.
CREATE TABLE weir.task (
  run_id      int8        NOT NULL,
  task_no     int4        NOT NULL,
  item        int4        NOT NULL DEFAULT -1,
  pipeline_id int4        NOT NULL,
  version     int4        NOT NULL,
  pool_id     int4,
  slots       int4        NOT NULL,
  attempt     int4        NOT NULL DEFAULT 0,
  upstream    int4        NOT NULL,
  remaining   int4        NOT NULL,
  succeeded   int4        NOT NULL DEFAULT 0,
  failed      int4        NOT NULL DEFAULT 0,
  skipped     int4        NOT NULL DEFAULT 0,
  failures    int2        NOT NULL DEFAULT 0,
  losses      int2        NOT NULL DEFAULT 0,
  priority    int2        NOT NULL,
  deferred    bool        NOT NULL,
  durable     bool        NOT NULL,
  told        bool        NOT NULL DEFAULT false,
  cancelled   bool        NOT NULL DEFAULT false,
  passed_over bool        NOT NULL DEFAULT false,
  allow_failure bool      NOT NULL,
  max_parallel int4,
  worker_id   int8,
  claim       int8,
  ready_at    timestamptz,
  started_at  timestamptz,
  ended_at    timestamptz,
  state       text        NOT NULL CHECK (state IN ('waiting', 'ready', 'running', 'retry_wait', 'mapped', 'success',
                                                    'failed', 'skipped', 'upstream_failed', 'cancelled')),
  rule        text        NOT NULL,
  successors  int4[]      NOT NULL,
  produces    text[],
  element     jsonb,
  output      jsonb,
  follow      int4[],
  error       text,
  PRIMARY KEY (run_id, task_no, item),
  CHECK ((state = 'running') = (worker_id IS NOT NULL)),
  CHECK (remaining >= 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500,
        autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX task_ready ON weir.task (pool_id, priority DESC, pipeline_id, ready_at, run_id, task_no, item)
  WHERE state = 'ready';
CREATE INDEX task_running ON weir.task (pool_id) INCLUDE (slots) WHERE state = 'running';
CREATE INDEX task_of_worker ON weir.task (worker_id, claim) WHERE state = 'running';
CREATE INDEX task_later ON weir.task (ready_at) WHERE state = 'retry_wait';
CREATE INDEX task_untold ON weir.task (ended_at)
  WHERE NOT told AND state IN ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled');
COMMENT ON TABLE weir.task IS 'The tasks of runs that live. remaining counts those before it that have not ended.';
COMMENT ON COLUMN weir.task.attempt IS 'Counted at every start. With worker_id and claim it is the fence: a result from another one changes nothing.';
COMMENT ON COLUMN weir.task.told IS 'It has ended, and its successors have counted it.';
COMMENT ON COLUMN weir.task.passed_over IS 'One before it chose others: it is skipped when all before it have ended.';
COMMENT ON COLUMN weir.task.follow IS 'The successors that it chose, where it chose; the others are skipped.';

-- History. Days are UTC. No default partition: it would stand in the way of attaching and dropping the others.
CREATE TABLE weir.run_done (
  id             int8        NOT NULL,
  ended_at       timestamptz NOT NULL,
  logical_at     timestamptz NOT NULL,
  interval_start timestamptz NOT NULL,
  interval_end   timestamptz NOT NULL,
  created_at     timestamptz NOT NULL,
  started_at     timestamptz,
  late_at        timestamptz,
  backfill_id    int8,
  pipeline_id    int4        NOT NULL,
  version        int4        NOT NULL,
  priority       int2        NOT NULL,
  tasks          int4        NOT NULL,
  state          text        NOT NULL CHECK (state IN ('success', 'failed', 'cancelled')),
  kind           text        NOT NULL,
  made_by        text        NOT NULL,
  params         jsonb       NOT NULL
) PARTITION BY RANGE (ended_at);
CREATE INDEX run_done_id ON weir.run_done (id);
CREATE INDEX run_done_ended ON weir.run_done (ended_at DESC, id DESC);
CREATE INDEX run_done_pipeline ON weir.run_done (pipeline_id, logical_at DESC);

CREATE TABLE weir.task_done (
  run_id       int8        NOT NULL,
  run_ended_at timestamptz NOT NULL,
  task_no      int4        NOT NULL,
  item         int4        NOT NULL,
  attempt      int4        NOT NULL,
  failures     int2        NOT NULL,
  ready_at     timestamptz,
  started_at   timestamptz,
  ended_at     timestamptz,
  state        text        NOT NULL,
  element      jsonb,
  output       jsonb,
  follow       int4[],
  error        text
) PARTITION BY RANGE (run_ended_at);
CREATE INDEX task_done_run ON weir.task_done (run_id, task_no, item);

-- Every start of a task that came to an end, whatever the end was.
CREATE TABLE weir.task_attempt (
  ended_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  run_id     int8        NOT NULL,
  task_no    int4        NOT NULL,
  item       int4        NOT NULL,
  attempt    int4        NOT NULL,
  worker_id  int8        NOT NULL,
  ready_at   timestamptz,
  started_at timestamptz NOT NULL,
  outcome    text        NOT NULL CHECK (outcome IN ('success', 'failed', 'skipped', 'cancelled', 'lost')),
  error      text,
  usage      jsonb
) PARTITION BY RANGE (ended_at);
CREATE INDEX task_attempt_run ON weir.task_attempt (run_id, task_no, item, attempt);

-- What tasks said, some lines a row; numbers have a gap where the middle was left out.
CREATE TABLE weir.task_log (
  at      timestamptz   NOT NULL DEFAULT clock_timestamp(),
  run_id  int8          NOT NULL,
  task_no int4          NOT NULL,
  item    int4          NOT NULL,
  attempt int4          NOT NULL,
  numbers int8[]        NOT NULL,
  streams text[]        NOT NULL,
  times   timestamptz[] NOT NULL,
  lines   text[]        NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX task_log_task ON weir.task_log (run_id, task_no, item, attempt, at);

-- How long history is kept: one row.
CREATE TABLE weir.run_history (
  one       bool NOT NULL DEFAULT true PRIMARY KEY CHECK (one),
  keep_days int4 NOT NULL DEFAULT 30 CHECK (keep_days BETWEEN 1 AND 3650)
);
INSERT INTO weir.run_history DEFAULT VALUES;

-- Makes the partitions of the coming week and drops those that are past their time. As weir.keep_job_history().
CREATE FUNCTION weir.keep_run_history() RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  today   date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  oldest  date := today - (SELECT h.keep_days FROM weir.run_history h);
  parent  text;
  day     date;
  part    text;
  changed int4 := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.keep_run_history', 0)) THEN
    RETURN 0;
  END IF;
  FOREACH parent IN ARRAY ARRAY['run_done', 'task_done', 'task_attempt', 'task_log'] LOOP
    FOR day IN SELECT today + n FROM generate_series(-1, 7) n LOOP
      part := parent || '_' || to_char(day, 'YYYYMMDD');
      IF to_regclass('weir.' || part) IS NULL THEN
        EXECUTE format('CREATE TABLE weir.%I (LIKE weir.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
        EXECUTE format('ALTER TABLE weir.%I ATTACH PARTITION weir.%I FOR VALUES FROM (%L) TO (%L)', parent, part,
                       day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        changed := changed + 1;
      END IF;
    END LOOP;
    FOR part IN
      SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = to_regclass('weir.' || parent) AND c.relname ~ ('^' || parent || '_\d{8}$')
         AND to_date(right(c.relname, 8), 'YYYYMMDD') < oldest
    LOOP
      BEGIN
        EXECUTE format('DROP TABLE weir.%I', part);
        changed := changed + 1;
      EXCEPTION WHEN lock_not_available THEN
        NULL;  -- somebody reads history: what was made stays, and this one goes the next time
      END;
    END LOOP;
  END LOOP;
  RETURN changed;
END $$;
SELECT weir.keep_run_history();

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'table', 'weir.' || t, p
    FROM unnest(ARRAY['pool', 'pipeline', 'pipeline_version', 'pipeline_task', 'pipeline_dataset', 'dataset_update', 'run',
                      'task', 'run_done', 'task_done', 'task_attempt', 'task_log']) t,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT'
    FROM unnest(ARRAY['pool', 'pipeline', 'pipeline_version', 'pipeline_task', 'pipeline_dataset', 'dataset_update', 'run',
                      'task', 'run_done', 'task_done', 'task_attempt', 'task_log', 'run_history']) t
  UNION ALL
  SELECT 'weir_worker', 'table', 'weir.run_history', p FROM unnest(ARRAY['SELECT', 'UPDATE']) p
  UNION ALL
  SELECT 'weir_worker', 'sequence', 'weir.run_id', p FROM unnest(ARRAY['USAGE', 'SELECT']) p
  UNION ALL
  SELECT 'weir_worker', 'routine', 'weir.keep_run_history()', 'EXECUTE';

SELECT weir.apply_grants();
