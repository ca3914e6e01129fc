-- What people ask of queues and jobs (`weir job`, `weir queue`, `weir top`). Everything is counted up to a limit: nobody
-- waits for a count over millions of rows. There is one lane (0) until the tables are spread over several servers.

-- name: read_time(word text) -> (at timestamptz?)
SELECT :word::text::timestamptz AS at;

-- name: server_now() -> (at timestamptz)
SELECT clock_timestamp() AS at;

-- name: list_jobs(states text[], queue int4?, kind text?, most int8) -> (
--   id int8, queue_name text, state text, kind text, priority int2?, attempt int2, max_attempts int2?,
--   created_at timestamptz, at timestamptz?, worker int8?, limit_key text?, error text?)
-- Those that run, then as they will be claimed, as they come due, and the youngest of the dead and the done. A state
-- that is not asked for is not looked at.
(SELECT j.id, q.name AS queue_name, 'running' AS state, j.kind, j.priority, j.attempt, j.max_attempts, j.created_at,
        c.claimed_at AS at, c.worker_id AS worker, j.limit_key, j.error
   FROM weir.job_claim c CROSS JOIN unnest(c.jobs) j JOIN weir.queue q ON q.id = c.queue_id
  WHERE 'running' = ANY (:states::text[]) AND (:queue::int4 IS NULL OR c.queue_id = :queue::int4)
    AND (:kind::text IS NULL OR j.kind = :kind::text) AND j.seq <> ALL (c.settled)
  ORDER BY c.claimed_at, j.seq LIMIT :most)
UNION ALL
(SELECT coalesce(j.own_id, j.seq), q.name, 'waiting', j.kind, j.priority, j.attempt, j.max_attempts, j.created_at,
        NULL, NULL, j.limit_key, j.error
   FROM weir.queue q CROSS JOIN LATERAL (
     SELECT * FROM weir.job w
      WHERE w.lane = 0 AND w.queue_id = q.id AND (:kind::text IS NULL OR w.kind = :kind::text)
      ORDER BY w.priority, w.seq LIMIT :most) j
  WHERE 'waiting' = ANY (:states::text[]) AND (:queue::int4 IS NULL OR q.id = :queue::int4)
  ORDER BY q.name, j.priority, j.seq LIMIT :most)
UNION ALL
(SELECT l.id, q.name, 'later', l.kind, l.priority, l.attempt, l.max_attempts, l.created_at, l.run_at, NULL, l.limit_key,
        l.error
   FROM weir.job_later l JOIN weir.queue q ON q.id = l.queue_id
  WHERE 'later' = ANY (:states::text[]) AND (:queue::int4 IS NULL OR l.queue_id = :queue::int4)
    AND (:kind::text IS NULL OR l.kind = :kind::text)
  ORDER BY l.run_at LIMIT :most)
UNION ALL
(SELECT d.id, q.name, 'dead', d.kind, d.priority, d.attempt, d.max_attempts, d.created_at, d.died_at, NULL, d.limit_key,
        d.error
   FROM weir.queue q CROSS JOIN LATERAL (
     SELECT * FROM weir.job_dead w
      WHERE w.queue_id = q.id AND (:kind::text IS NULL OR w.kind = :kind::text)
      ORDER BY w.died_at DESC LIMIT :most) d
  WHERE 'dead' = ANY (:states::text[]) AND (:queue::int4 IS NULL OR q.id = :queue::int4)
  ORDER BY d.died_at DESC LIMIT :most)
UNION ALL
(SELECT d.id, q.name, CASE WHEN d.cancelled THEN 'cancelled' ELSE 'done' END, d.kind, NULL, d.attempt, NULL,
        d.created_at, d.finished_at, d.worker_id, NULL, d.error
   FROM weir.queue q CROSS JOIN LATERAL (
     SELECT * FROM weir.job_done w
      WHERE w.queue_id = q.id AND (:kind::text IS NULL OR w.kind = :kind::text)
      ORDER BY w.finished_at DESC LIMIT :most) d
  WHERE 'done' = ANY (:states::text[]) AND (:queue::int4 IS NULL OR q.id = :queue::int4)
  ORDER BY d.finished_at DESC LIMIT :most);

-- name: find_job(job int8) -> (
--   state text, queue_id int4, queue_name text, seq int8?, kind text, priority int2?, attempt int2, max_attempts int2?,
--   created_at timestamptz, started_at timestamptz?, at timestamptz?, deadline_at timestamptz?, unique_key text?,
--   limit_key text?, error text?, payload jsonb?, result jsonb?, worker int8?, worker_name text?, stopping bool,
--   share float8?, note text?, progress_at timestamptz?)
-- Wherever it is. `at`: when it is due, when it died or ended.
SELECT f.state, f.queue_id, q.name AS queue_name, f.seq, f.kind, f.priority, f.attempt, f.max_attempts, f.created_at,
       f.started_at, f.at, f.deadline_at, f.unique_key, f.limit_key, nullif(f.error, '') AS error,
       coalesce(f.payload, (SELECT p.payload FROM weir.job_payload p WHERE p.id = :job)) AS payload, f.result,
       f.worker_id AS worker, (SELECT p.name FROM weir.process p WHERE p.id = f.worker_id) AS worker_name,
       EXISTS (SELECT FROM weir.job_cancel k WHERE k.job_id = :job) AS stopping, g.share, g.note,
       g.updated_at AS progress_at
  FROM (
    -- What a transaction of somebody's is about to take away is being worked on in it.
    SELECT CASE WHEN EXISTS (SELECT FROM pg_locks l WHERE l.transactionid = j.xmax AND l.granted)
                THEN 'running' ELSE 'waiting' END AS state, j.queue_id, j.seq, j.kind, j.priority, j.attempt, j.max_attempts, j.created_at,
           NULL::timestamptz AS started_at, NULL::timestamptz AS at, j.deadline_at, j.unique_key, j.limit_key, j.error,
           j.payload, NULL::jsonb AS result, NULL::int8 AS worker_id
      FROM weir.waiting_job(:job) w
      JOIN weir.job j ON j.lane = w.lane AND j.queue_id = w.queue_id AND j.priority = w.priority AND j.seq = w.seq
    UNION ALL
    SELECT 'running', c.queue_id, j.seq, j.kind, j.priority, j.attempt, j.max_attempts, j.created_at, c.claimed_at, NULL,
           j.deadline_at, j.unique_key, j.limit_key, j.error, j.payload, NULL, c.worker_id
      FROM weir.job_claim c CROSS JOIN unnest(c.jobs) j WHERE j.id = :job AND j.seq <> ALL (c.settled)
    UNION ALL
    SELECT 'later', l.queue_id, NULL, l.kind, l.priority, l.attempt, l.max_attempts, l.created_at, NULL, l.run_at,
           l.deadline_at, l.unique_key, l.limit_key, l.error, l.payload, NULL, NULL
      FROM weir.job_later l WHERE l.id = :job
    UNION ALL
    SELECT 'dead', d.queue_id, NULL, d.kind, d.priority, d.attempt, d.max_attempts, d.created_at, NULL, d.died_at, NULL,
           NULL, d.limit_key, d.error, d.payload, NULL, NULL
      FROM weir.job_dead d WHERE d.id = :job
    UNION ALL
    SELECT CASE WHEN d.cancelled THEN 'cancelled' ELSE 'done' END, d.queue_id, NULL, d.kind, NULL, d.attempt, NULL,
           d.created_at, d.started_at, d.finished_at, NULL, NULL, NULL, d.error, d.payload, d.result, d.worker_id
      FROM weir.job_done d WHERE d.id = :job) f
  JOIN weir.queue q ON q.id = f.queue_id
  LEFT JOIN weir.job_progress g ON g.job_id = :job
 LIMIT 1;

-- name: waiting_facts(queue int4, priority int2, seq int8, limit_key text?, most int8) -> (
--   paused bool, max_running int4?, running int8, max_per_key int4?, running_of_key int8, rate_limit int4?,
--   rate_period_ms int8?, started int8, ahead int8, workers int8)
-- Why a job of weir.job is not being worked on.
SELECT q.paused, q.max_running, (SELECT count(*) FROM weir.job_slot s WHERE s.queue_id = q.id) AS running, q.max_per_key,
       (SELECT count(*) FROM weir.job_slot s WHERE s.queue_id = q.id AND s.limit_key = :limit_key::text)
         AS running_of_key,
       q.rate_limit, q.rate_period_ms,
       (SELECT coalesce(sum(b.started), 0)::int8 FROM weir.queue_rate t, unnest(t.at, t.started) b(at, started)
         WHERE t.queue_id = q.id AND b.at > clock_timestamp() - q.rate_period_ms * interval '1 ms') AS started,
       (SELECT count(*) FROM (SELECT FROM weir.job j
                               WHERE j.lane = 0 AND j.queue_id = q.id
                                 AND (j.priority, j.seq) < (:priority::int2, :seq::int8) LIMIT :most) a) AS ahead,
       (SELECT count(DISTINCT l.process_id) FROM weir.listener l JOIN weir.process p ON p.id = l.process_id
         WHERE l.topic IN ('job:' || q.id, 'job:*') AND NOT p.dead AND p.lease_until > clock_timestamp()) AS workers
  FROM weir.queue q WHERE q.id = :queue;

-- name: cancel_job(job int8) -> (outcome text)
SELECT weir.cancel_job(:job) AS outcome;

-- name: retry_later_jobs(jobs int8[]) -> (job int8, queue int4)
-- To be followed, in the same transaction, by wake_queues.
WITH gone AS (
  DELETE FROM weir.job_later l WHERE l.id = ANY (:jobs::int8[]) RETURNING l.*
)
INSERT INTO weir.job (created_at, queue_id, lane, priority, attempt, max_attempts, kind, payload, own_id, deadline_at,
                      unique_key, limit_key, error)
SELECT g.created_at, g.queue_id, g.lane, g.priority, g.attempt, g.max_attempts, g.kind, g.payload, g.id, g.deadline_at,
       g.unique_key, g.limit_key, g.error
  FROM gone g ORDER BY g.id
RETURNING own_id AS job, queue_id AS queue;

-- name: wake_queues(queues int4[]) -> (woken int8)
SELECT coalesce(sum(weir.wake_queue(q)), 0)::int8 AS woken FROM unnest(:queues::int4[]) q;

-- name: dead_jobs(queue int4?, before timestamptz, most int8) -> (job int8)
SELECT d.id AS job FROM weir.job_dead d
 WHERE (:queue::int4 IS NULL OR d.queue_id = :queue::int4) AND d.died_at <= :before
 ORDER BY d.died_at LIMIT :most;

-- name: replay_jobs(jobs int8[]) -> (queue int8)
SELECT q AS queue FROM weir.replay_jobs(:jobs) q;

-- name: count_dead_jobs(jobs int8[], queue int4?, kind text?, before timestamptz) -> (letters int8)
-- All of those ids, or all that are like this where there are none. To the end: whoever asks is about to drop them.
SELECT count(*) AS letters FROM weir.job_dead d
 WHERE (cardinality(:jobs::int8[]) = 0 OR d.id = ANY (:jobs::int8[])) AND (:queue::int4 IS NULL OR d.queue_id = :queue::int4)
   AND (:kind::text IS NULL OR d.kind = :kind::text) AND d.died_at <= :before::timestamptz;

-- name: drop_dead_jobs(jobs int8[], queue int4?, kind text?, before timestamptz, above int8, most int8) -> (
--   dropped int8, last int8?)
-- The same, so many at most, with ids above the one that was last dropped: what is gone, or is not meant, is walked once.
-- What somebody else replays or drops right now is his.
WITH old AS MATERIALIZED (
  SELECT d.id FROM weir.job_dead d
   WHERE (cardinality(:jobs::int8[]) = 0 OR d.id = ANY (:jobs::int8[])) AND (:queue::int4 IS NULL OR d.queue_id = :queue::int4)
     AND (:kind::text IS NULL OR d.kind = :kind::text) AND d.died_at <= :before::timestamptz AND d.id > :above::int8
   ORDER BY d.id LIMIT :most FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM weir.job_dead d WHERE d.id = ANY (ARRAY(SELECT o.id FROM old o)) RETURNING d.id, d.payload
), large AS (
  DELETE FROM weir.job_payload p WHERE p.id = ANY (ARRAY(SELECT g.id FROM gone g WHERE g.payload IS NULL))
)
SELECT count(*) AS dropped, max(g.id) AS last FROM gone g;

-- name: queue_figures(names text[], most int8) -> (
--   name text, paused bool, waiting int8, running int8, later int8, more_later bool, dead int8, done int8, failed int8,
--   done_rate float8, failed_rate float8, oldest_seconds float8?, oldest_dead_seconds float8?, waits int8[], runs int8[])
-- All queues where no names are given. A count that is greater than `most` says no more than that. Of the jobs that are
-- due later the first `most` are looked at: `more_later` says that there may be more of any queue.
WITH later AS MATERIALIZED (
  SELECT l.queue_id, count(*) AS n
    FROM (SELECT queue_id FROM weir.job_later ORDER BY run_at LIMIT :most) l GROUP BY 1
), running AS MATERIALIZED (
  SELECT c.queue_id, sum(cardinality(c.jobs) - cardinality(c.settled))::int8 AS n FROM weir.job_claim c GROUP BY 1
), counted AS MATERIALIZED (
  SELECT s.queue_id, sum(s.done)::int8 AS done, sum(s.failed)::int8 AS failed,
         sum(s.done_rate) FILTER (WHERE s.updated_at > clock_timestamp() - interval '10 s') AS done_rate,
         sum(s.failed_rate) FILTER (WHERE s.updated_at > clock_timestamp() - interval '10 s') AS failed_rate
    FROM weir.queue_stats s GROUP BY 1
), steps AS MATERIALIZED (
  SELECT s.queue_id, u.step, sum(u.waits)::int8 AS waits, sum(u.runs)::int8 AS runs
    FROM weir.queue_stats s CROSS JOIN unnest(s.waits, s.runs) WITH ORDINALITY u(waits, runs, step)
   WHERE s.updated_at > clock_timestamp() - interval '10 s' GROUP BY 1, 2
), times AS MATERIALIZED (
  SELECT s.queue_id, array_agg(coalesce(s.waits, 0) ORDER BY s.step) AS waits,
         array_agg(coalesce(s.runs, 0) ORDER BY s.step) AS runs
    FROM steps s GROUP BY 1
)
SELECT q.name, q.paused, w.n AS waiting, coalesce(r.n, 0) AS running, coalesce(l.n, 0) AS later,
       coalesce((SELECT sum(n) FROM later) >= :most, false) AS more_later, d.n AS dead, coalesce(c.done, 0) AS done,
       coalesce(c.failed, 0) AS failed, coalesce(c.done_rate, 0) AS done_rate, coalesce(c.failed_rate, 0) AS failed_rate,
       extract(epoch FROM clock_timestamp() - o.oldest)::float8 AS oldest_seconds,
       extract(epoch FROM clock_timestamp() - (SELECT j.died_at FROM weir.job_dead j WHERE j.queue_id = q.id
                                                ORDER BY j.died_at LIMIT 1))::float8 AS oldest_dead_seconds,
       coalesce(t.waits, '{}') AS waits, coalesce(t.runs, '{}') AS runs
  FROM weir.queue q
  LEFT JOIN later l ON l.queue_id = q.id
  LEFT JOIN running r ON r.queue_id = q.id
  LEFT JOIN counted c ON c.queue_id = q.id
  LEFT JOIN times t ON t.queue_id = q.id
  CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (SELECT FROM weir.job j WHERE j.lane = 0 AND j.queue_id = q.id LIMIT :most + 1) j) w
  CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (SELECT FROM weir.job_dead j WHERE j.queue_id = q.id LIMIT :most + 1) j) d
  -- The first job of each priority.
  CROSS JOIN LATERAL (
    WITH RECURSIVE head AS (
      (SELECT j.priority, j.created_at FROM weir.job j
        WHERE j.lane = 0 AND j.queue_id = q.id ORDER BY j.priority, j.seq LIMIT 1)
      UNION ALL
      SELECT n.priority, n.created_at
        FROM head h,
             LATERAL (SELECT j.priority, j.created_at FROM weir.job j
                       WHERE j.lane = 0 AND j.queue_id = q.id AND j.priority > h.priority
                       ORDER BY j.priority, j.seq LIMIT 1) n)
    SELECT min(h.created_at) AS oldest FROM head h) o
 WHERE cardinality(:names::text[]) = 0 OR q.name = ANY (:names::text[])
 ORDER BY q.name;

-- name: process_figures() -> (
--   id int8, name text, dead bool, lease_seconds float8, running int8, done int8, failed int8, done_rate float8)
WITH counted AS MATERIALIZED (
  SELECT s.process_id, sum(s.done)::int8 AS done, sum(s.failed)::int8 AS failed,
         sum(s.done_rate) FILTER (WHERE s.updated_at > clock_timestamp() - interval '10 s') AS done_rate
    FROM weir.queue_stats s GROUP BY 1
), running AS MATERIALIZED (
  SELECT c.worker_id, sum(cardinality(c.jobs) - cardinality(c.settled))::int8 AS n FROM weir.job_claim c GROUP BY 1
)
SELECT p.id, p.name, p.dead, extract(epoch FROM p.lease_until - clock_timestamp())::float8 AS lease_seconds,
       coalesce(r.n, 0) AS running, coalesce(c.done, 0) AS done, coalesce(c.failed, 0) AS failed,
       coalesce(c.done_rate, 0) AS done_rate
  FROM weir.process p
  LEFT JOIN counted c ON c.process_id = p.id
  LEFT JOIN running r ON r.worker_id = p.id
 ORDER BY p.id;

-- name: queue_configs(names text[]) -> (
--   id int4, name text, paused bool, relaxed bool, max_attempts int2, backoff_ms int8, backoff_cap_ms int8,
--   timeout_ms int8?, keep_days int4?, keep_dead_days int4?, max_running int4?, max_per_key int4?, rate_limit int4?,
--   rate_period_ms int8?)
-- All queues where no names are given.
SELECT q.id, q.name, q.paused, q.relaxed, q.max_attempts, q.backoff_ms, q.backoff_cap_ms, q.timeout_ms, q.keep_days,
       q.keep_dead_days, q.max_running, q.max_per_key, q.rate_limit, q.rate_period_ms
  FROM weir.queue q WHERE cardinality(:names::text[]) = 0 OR q.name = ANY (:names::text[]) ORDER BY q.name;

-- name: lock_queue(queue int4) -> (id int4)
SELECT q.id FROM weir.queue q WHERE q.id = :queue FOR NO KEY UPDATE;

-- name: change_queue(queue int4, relaxed bool, max_attempts int2, backoff_ms int8, backoff_cap_ms int8, timeout_ms int8?,
--   keep_days int4?, keep_dead_days int4?, max_running int4?, max_per_key int4?, rate_limit int4?, rate_period_ms int8?)
UPDATE weir.queue q
   SET relaxed = :relaxed, max_attempts = :max_attempts, backoff_ms = :backoff_ms, backoff_cap_ms = :backoff_cap_ms,
       timeout_ms = :timeout_ms, keep_days = :keep_days, keep_dead_days = :keep_dead_days, max_running = :max_running,
       max_per_key = :max_per_key, rate_limit = :rate_limit, rate_period_ms = :rate_period_ms
 WHERE q.id = :queue;

-- name: wait_for_claims() -> (id int8)
-- A claim holds its process's row until it is committed: those under way when this began have ended, and those that
-- begin later see the queue as it is now.
SELECT p.id FROM weir.process p ORDER BY p.id FOR UPDATE;

-- name: give_slots(queue int4)
-- To what was claimed while the queue had no limit.
INSERT INTO weir.job_slot (queue_id, limit_key, seq)
SELECT c.queue_id, coalesce(j.limit_key, ''), j.seq
  FROM weir.job_claim c CROSS JOIN unnest(c.jobs) j
 WHERE c.queue_id = :queue AND j.seq <> ALL (c.settled)
ON CONFLICT DO NOTHING;

-- name: pause_queues(names text[], paused bool) -> (id int4)
UPDATE weir.queue q SET paused = :paused WHERE q.name = ANY (:names) RETURNING q.id;
