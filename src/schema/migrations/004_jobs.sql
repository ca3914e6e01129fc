-- Jobs. A job has one home at a time:
--   weir.job        waits, in order of (priority, seq)
--   weir.job_claim  is being worked on: one row holds all the jobs that a process took at once
--   weir.job_later  is due at a time: scheduled, snoozed, or backing off
--   weir.job_dead   was given up: replayable
--   weir.job_done   ended well, where its queue keeps history
-- Why a claim moves jobs out of weir.job instead of marking them: docs/decisions/0009.

CREATE TABLE weir.queue (
  id              int4        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name            text        NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 100),
  paused          bool        NOT NULL DEFAULT false,
  relaxed         bool        NOT NULL DEFAULT false,
  max_attempts    int2        NOT NULL DEFAULT 25 CHECK (max_attempts > 0),
  backoff_ms      int8        NOT NULL DEFAULT 1000 CHECK (backoff_ms >= 0),
  backoff_cap_ms  int8        NOT NULL DEFAULT 3600000 CHECK (backoff_cap_ms >= backoff_ms),
  timeout_ms      int8        CHECK (timeout_ms > 0),
  keep_days       int4        CHECK (keep_days BETWEEN 1 AND 3650),
  max_running     int4        CHECK (max_running > 0),
  max_per_key     int4        CHECK (max_per_key > 0),
  rate_limit      int4        CHECK (rate_limit > 0),
  rate_period_ms  int8        CHECK (rate_period_ms > 0),
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  limited         bool        GENERATED ALWAYS AS
                    (max_running IS NOT NULL OR max_per_key IS NOT NULL OR rate_limit IS NOT NULL) STORED,
  CHECK ((rate_limit IS NULL) = (rate_period_ms IS NULL))
);
COMMENT ON TABLE weir.queue IS 'Queues and their settings; a queue is made by the first job that names it.';
COMMENT ON COLUMN weir.queue.relaxed IS 'Completions do not wait for the disk: after a crash of the server some jobs run again.';

CREATE SEQUENCE weir.job_id;

-- Rows here only wait; nothing updates them, so that whoever follows an older version never waits for anybody. The
-- order of readiness is seq; a job that comes back gets a new one and keeps its id in own_id.
-- It leads with lane (0 on one server), which claims name, so that a sharded table routes them.
CREATE TABLE weir.job (
  seq          int8        NOT NULL DEFAULT nextval('weir.job_id'),
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  queue_id     int4        NOT NULL,
  lane         int2        NOT NULL DEFAULT 0,
  priority     int2        NOT NULL DEFAULT 0,
  attempt      int2        NOT NULL DEFAULT 0,
  max_attempts int2        NOT NULL DEFAULT 25,
  kind         text        NOT NULL DEFAULT '',
  payload      jsonb,
  own_id       int8,
  deadline_at  timestamptz,
  unique_key   text,
  limit_key    text,
  error        text,
  PRIMARY KEY (lane, queue_id, priority, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_insert_scale_factor = 0.2,
        autovacuum_analyze_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
CREATE INDEX job_own_id ON weir.job (own_id) WHERE own_id IS NOT NULL;
COMMENT ON TABLE weir.job IS 'Jobs that wait. id is coalesce(own_id, seq); a null payload is in weir.job_payload.';

-- Payloads too large to be carried along: a claim of a thousand jobs stays small, and each is read when its turn comes.
CREATE TABLE weir.job_payload (
  id      int8  PRIMARY KEY,
  payload jsonb NOT NULL
);

CREATE TYPE weir.claimed_job AS (
  seq          int8,
  id           int8,
  created_at   timestamptz,
  deadline_at  timestamptz,
  priority     int2,
  attempt      int2,
  max_attempts int2,
  kind         text,
  payload      jsonb,
  unique_key   text,
  limit_key    text,
  error        text
);

CREATE TABLE weir.job_claim (
  id         int8               GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  worker_id  int8               NOT NULL,
  claimed_at timestamptz        NOT NULL DEFAULT clock_timestamp(),
  queue_id   int4               NOT NULL,
  lane       int2               NOT NULL,
  jobs       weir.claimed_job[] NOT NULL,
  settled    int8[]             NOT NULL DEFAULT '{}'
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off,
        toast.autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_vacuum_cost_delay = 0,
        toast.vacuum_truncate = off);
-- It lives for milliseconds: compressing it costs more than writing it.
ALTER TABLE weir.job_claim ALTER COLUMN jobs SET STORAGE EXTERNAL;
COMMENT ON TABLE weir.job_claim IS 'What processes work on; settled lists the seq of those that are finished already.';

-- One row for each running job of a queue with a limit: the row is the slot, so none is lost.
CREATE TABLE weir.job_slot (
  queue_id  int4 NOT NULL,
  limit_key text NOT NULL,
  seq       int8 NOT NULL,
  PRIMARY KEY (queue_id, limit_key, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.05, vacuum_truncate = off);

-- What a queue with a rate limit started lately, in buckets; read and written under the lock of the queue's row.
CREATE TABLE weir.queue_rate (
  queue_id int4          PRIMARY KEY,
  at       timestamptz[] NOT NULL,
  started  int4[]        NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE weir.job_later (
  id           int8        PRIMARY KEY,
  run_at       timestamptz NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  queue_id     int4        NOT NULL,
  lane         int2        NOT NULL DEFAULT 0,
  priority     int2        NOT NULL DEFAULT 0,
  attempt      int2        NOT NULL DEFAULT 0,
  max_attempts int2        NOT NULL DEFAULT 25,
  kind         text        NOT NULL DEFAULT '',
  payload      jsonb,
  deadline_at  timestamptz,
  unique_key   text,
  limit_key    text,
  error        text
) WITH (autovacuum_vacuum_scale_factor = 0.01, vacuum_truncate = off);
CREATE INDEX job_later_run_at ON weir.job_later (run_at);

CREATE TABLE weir.job_dead (
  id           int8        PRIMARY KEY,
  died_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  created_at   timestamptz NOT NULL,
  queue_id     int4        NOT NULL,
  lane         int2        NOT NULL,
  priority     int2        NOT NULL,
  attempt      int2        NOT NULL,
  max_attempts int2        NOT NULL,
  kind         text        NOT NULL,
  payload      jsonb,
  limit_key    text,
  error        text        NOT NULL
);
CREATE INDEX job_dead_queue ON weir.job_dead (queue_id, died_at);

-- Days are UTC. No default partition: it would stand in the way of attaching and dropping the others.
CREATE TABLE weir.job_done (
  id          int8        NOT NULL,
  finished_at timestamptz NOT NULL,
  started_at  timestamptz NOT NULL,
  created_at  timestamptz NOT NULL,
  queue_id    int4        NOT NULL,
  attempt     int2        NOT NULL,
  cancelled   bool        NOT NULL,
  worker_id   int8,
  kind        text        NOT NULL,
  payload     jsonb,
  result      jsonb,
  error       text
) PARTITION BY RANGE (finished_at);
CREATE INDEX job_done_id ON weir.job_done (id);
CREATE INDEX job_done_queue ON weir.job_done (queue_id, finished_at);

-- A key is taken until the job ends (until is null), or until a time.
CREATE TABLE weir.job_unique (
  queue_id   int4        NOT NULL,
  unique_key text        NOT NULL,
  job_id     int8        NOT NULL,
  until      timestamptz,
  PRIMARY KEY (queue_id, unique_key)
) WITH (autovacuum_vacuum_scale_factor = 0.02, vacuum_truncate = off);
CREATE INDEX job_unique_until ON weir.job_unique (until) WHERE until IS NOT NULL;

-- Requests to stop jobs that run; their process reads them at its heartbeat, or when it is notified.
CREATE TABLE weir.job_cancel (
  job_id    int8 PRIMARY KEY,
  worker_id int8 NOT NULL
);
-- What running jobs say of themselves. Gone when the job ends.
CREATE TABLE weir.job_progress (
  job_id     int8        PRIMARY KEY,
  share      float8      CHECK (share BETWEEN 0 AND 1),
  note       text,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Counters of each process for each queue, written with its heartbeat; a process that ends adds its own to row 0.
CREATE TABLE weir.queue_stats (
  queue_id   int4        NOT NULL,
  process_id int8        NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done       int8        NOT NULL DEFAULT 0,
  failed     int8        NOT NULL DEFAULT 0,
  dead       int8        NOT NULL DEFAULT 0,
  busy_us    int8        NOT NULL DEFAULT 0,
  running    int4        NOT NULL DEFAULT 0,
  PRIMARY KEY (queue_id, process_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'table', 'weir.' || t, p
    FROM unnest(ARRAY['queue', 'job', 'job_payload', 'job_claim', 'job_slot', 'queue_rate', 'job_later', 'job_dead',
                      'job_done', 'job_unique', 'job_cancel', 'job_progress', 'queue_stats']) t,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT'
    FROM unnest(ARRAY['queue', 'job', 'job_payload', 'job_claim', 'job_slot', 'queue_rate', 'job_later', 'job_dead',
                      'job_done', 'job_unique', 'job_cancel', 'job_progress', 'queue_stats']) t
  UNION ALL
  SELECT 'weir_worker', 'sequence', 'weir.' || s, p
    FROM unnest(ARRAY['job_id']) s, unnest(ARRAY['USAGE', 'SELECT']) p;

SELECT weir.apply_grants();
