-- What the job queue runs. See migrations/004_jobs.sql for where a job is when.

-- name: claim_jobs(process int8, number int8, lane int2, queue int4, priority int2, above int8, last_priority int2,
--   wanted int8) -> (
--   seq int8, id int8, priority int2, attempt int2, max_attempts int2, created_at timestamptz, asked_at timestamptz,
--   deadline_at timestamptz?, kind text, payload jsonb?, unique_key text?, limit_key text?, error text?)
-- What comes behind (priority, above), up to a last priority: one range of the index, be it the whole queue or what lies
-- above a mark, so that the dead rows which an old snapshot keeps at the head are not walked.
WITH me AS MATERIALIZED (
  SELECT p.id FROM weir.process p WHERE p.id = :process AND NOT p.dead AND p.first_claim <= :number FOR KEY SHARE
), picked AS MATERIALIZED (
  SELECT j.ctid AS tid FROM weir.job j
   WHERE EXISTS (SELECT FROM me)
     AND EXISTS (SELECT FROM weir.queue q WHERE q.id = :queue AND NOT q.paused AND NOT q.limited)
     AND j.lane = :lane AND j.queue_id = :queue
     AND (j.priority, j.seq) > (:priority, :above) AND j.priority <= :last_priority
   ORDER BY j.priority, j.seq LIMIT :wanted FOR UPDATE SKIP LOCKED
), taken AS (
  DELETE FROM weir.job j USING picked WHERE j.ctid = picked.tid RETURNING j.*
), claim AS (
  INSERT INTO weir.job_claim (worker_id, number, queue_id, lane, jobs)
  SELECT :process, :number, :queue, :lane,
         array_agg(ROW(t.seq, coalesce(t.own_id, t.seq), t.created_at, t.deadline_at, t.priority, t.attempt + 1,
                       t.max_attempts, t.kind, t.payload, t.unique_key, t.limit_key, t.error)::weir.claimed_job)
    FROM taken t HAVING count(*) > 0
  RETURNING 1
)
SELECT t.seq, coalesce(t.own_id, t.seq) AS id, t.priority, (t.attempt + 1)::int2 AS attempt,
       t.max_attempts, t.created_at, statement_timestamp() AS asked_at, t.deadline_at, t.kind, t.payload, t.unique_key, t.limit_key,
       t.error
  FROM taken t;

-- name: claim_limited_jobs(process int8, number int8, lane int2, queue int4, wanted int4) -> (
--   seq int8, id int8, priority int2, attempt int2, max_attempts int2, created_at timestamptz, asked_at timestamptz,
--   deadline_at timestamptz?, kind text, payload jsonb?, unique_key text?, limit_key text?, error text?)
SELECT c.seq, c.id, c.priority, c.attempt, c.max_attempts, c.created_at, statement_timestamp() AS asked_at, c.deadline_at, c.kind,
       c.payload, c.unique_key, c.limit_key, c.error
  FROM weir.claim_limited_jobs(:process, :number, :lane, :queue, :wanted) c;

-- name: take_jobs(lane int2, queue int4, priority int2, above int8, last_priority int2, wanted int8) -> (
--   seq int8, id int8, priority int2, attempt int2, max_attempts int2, created_at timestamptz, asked_at timestamptz,
--   deadline_at timestamptz?, kind text, payload jsonb?, unique_key text?, limit_key text?, error text?)
-- Transactional mode: the jobs are gone when the transaction commits, together with what the handler did.
WITH picked AS MATERIALIZED (
  SELECT j.ctid AS tid FROM weir.job j
   WHERE EXISTS (SELECT FROM weir.queue q WHERE q.id = :queue AND NOT q.paused AND NOT q.limited)
     AND j.lane = :lane AND j.queue_id = :queue
     AND (j.priority, j.seq) > (:priority, :above) AND j.priority <= :last_priority
   ORDER BY j.priority, j.seq LIMIT :wanted FOR UPDATE SKIP LOCKED
)
DELETE FROM weir.job j USING picked WHERE j.ctid = picked.tid
RETURNING j.seq, coalesce(j.own_id, j.seq) AS id, j.priority, (j.attempt + 1)::int2 AS attempt,
          j.max_attempts, j.created_at, statement_timestamp() AS asked_at, j.deadline_at, j.kind, j.payload, j.unique_key, j.limit_key,
          j.error;

-- name: session_origin(process int8) -> (server_started_at timestamptz, life_is_held bool)
-- Once for each session of transactional mode. The crash of one of its processes does not end the server as a whole, though
-- it ends all sessions.
SELECT pg_postmaster_start_time() AS server_started_at,
       EXISTS (SELECT FROM weir.process p WHERE p.id = :process AND NOT p.dead) AS life_is_held;

-- name: finish_claims(process int8, claims int8[]) -> (number int8)
-- The fast way to finish: all jobs of these claims are done, and leave nothing behind but their claim.
DELETE FROM weir.job_claim c WHERE c.worker_id = :process AND c.number = ANY (:claims) RETURNING c.number;

-- name: return_claim(process int8, number int8) -> (found bool)
SELECT weir.return_job_claim(:process, :number) AS found;

-- name: settle_jobs(process int8, claim int8, seqs int8[], actions text[], delays_ms int8[], texts text?[]) -> (seq int8)
SELECT s AS seq FROM weir.settle_jobs(:process, :claim, :seqs, :actions, :delays_ms, :texts) s;

-- name: adopt_taken_jobs(process int8, number int8, queue int4, lane int2, seqs int8[], ids int8[], priorities int2[],
--   attempts int2[], max_attempts int2[], created_at timestamptz[], deadlines timestamptz?[],
--   kinds text[], payloads jsonb?[], unique_keys text?[], limit_keys text?[], errors text?[])
-- Transactional mode: what was taken and did not simply end well becomes a claim of this transaction, and is settled
-- like any other.
INSERT INTO weir.job_claim (worker_id, number, queue_id, lane, jobs)
SELECT :process, :number, :queue, :lane,
       array_agg(ROW(t.seq, t.id, t.created_at, t.deadline_at, t.priority, t.attempt, t.max_attempts, t.kind, t.payload,
                     t.unique_key, t.limit_key, t.error)::weir.claimed_job)
  FROM unnest(:seqs::int8[], :ids::int8[], :priorities::int2[], :attempts::int2[], :max_attempts::int2[],
              :created_at::timestamptz[], :deadlines::timestamptz[], :kinds::text[], :payloads::jsonb[], :unique_keys::text[],
              :limit_keys::text[], :errors::text[])
         t(seq, id, priority, attempt, max_attempts, created_at, deadline_at, kind, payload, unique_key, limit_key,
           error);

-- name: enqueue_job(queue text, payload jsonb, kind text, priority int4, run_at timestamptz?, delay_us int8?,
--   max_attempts int4?, unique_key text?, unique_for_us int8?, if_exists text, limit_key text?,
--   deadline timestamptz?) -> (id int8)
SELECT weir.enqueue(:queue, :payload, :kind, :priority, :run_at, :delay_us::int8 * interval '1 us', :max_attempts,
                    :unique_key, :unique_for_us::int8 * interval '1 us', :if_exists, :limit_key, :deadline) AS id;

-- name: enqueue_alike(queue text, payloads jsonb[], kind text, priority int4, run_at timestamptz?, delay_us int8?,
--   max_attempts int4?) -> (id int8)
SELECT e AS id
  FROM weir.enqueue_many(:queue, :payloads, :kind, :priority, :run_at, :delay_us::int8 * interval '1 us', :max_attempts) e;

-- name: enqueue_jobs(queues text[], payloads jsonb[], kinds text[], priorities int4[], run_at timestamptz?[],
--   delays_us int8?[], max_attempts int4?[], unique_keys text?[], unique_for_us int8?[], if_exists text[],
--   limit_keys text?[], deadlines timestamptz?[]) -> (id int8)
-- In order: of two with one unique key the first comes first.
SELECT weir.enqueue(t.queue, t.payload, t.kind, t.priority, t.run_at, t.delay_us * interval '1 us', t.max_attempts,
                    t.unique_key, t.unique_for_us * interval '1 us', t.if_exists, t.limit_key, t.deadline) AS id
  FROM unnest(:queues::text[], :payloads::jsonb[], :kinds::text[], :priorities::int4[], :run_at::timestamptz[],
              :delays_us::int8[], :max_attempts::int4[], :unique_keys::text[], :unique_for_us::int8[],
              :if_exists::text[], :limit_keys::text[], :deadlines::timestamptz[])
         WITH ORDINALITY t(queue, payload, kind, priority, run_at, delay_us, max_attempts, unique_key, unique_for_us,
                           if_exists, limit_key, deadline, place)
 ORDER BY t.place;

-- name: may_copy_jobs() -> (may bool, now timestamptz)
-- A producer may call functions only.
SELECT has_table_privilege('weir.job', 'INSERT') AND has_table_privilege('weir.job_payload', 'INSERT')
       AND has_table_privilege('weir.job_later', 'INSERT') AND has_table_privilege('weir.queue', 'SELECT')
       AND has_sequence_privilege('weir.job_id', 'USAGE') AS may, clock_timestamp() AS now;

-- name: queue_attempts(queue int4) -> (max_attempts int2)
SELECT q.max_attempts FROM weir.queue q WHERE q.id = :queue;

-- name: take_job_ids(count int4) -> (id int8)
SELECT nextval('weir.job_id') AS id FROM generate_series(1, :count);

-- name: wake_queue(queue int4, wanted int4) -> (woken int4)
SELECT weir.wake_queue(:queue, :wanted) AS woken;

-- name: forget_progress(jobs int8[])
DELETE FROM weir.job_progress WHERE job_id = ANY (:jobs);

-- name: job_payload(job int8) -> (payload jsonb)
SELECT p.payload FROM weir.job_payload p WHERE p.id = :job;

-- name: rescue_jobs(max_claims int4) -> (rescued int8)
SELECT weir.rescue_jobs(:max_claims) AS rescued;

-- name: rescued_dead() -> (queue int4, dead int8)
-- In the transaction of a rescue: the dead letters that it made.
SELECT q.id AS queue, d.dead
  FROM weir.queue q
 CROSS JOIN LATERAL (SELECT count(*) AS dead FROM weir.job_dead d
                      WHERE d.queue_id = q.id AND d.died_at >= now() AND d.xmin = pg_current_xact_id()::xid) d
 WHERE d.dead > 0;

-- name: promote_jobs(wanted int4) -> (promoted int4, next_ms int8?)
SELECT p.promoted, p.next_ms FROM weir.promote_jobs(:wanted) p;

-- name: cancel_requests(process int8) -> (job_id int8)
-- They stay until the job has ended: it may not have begun yet, or be on its way from the server.
SELECT k.job_id FROM weir.job_cancel k WHERE k.worker_id = :process;

-- name: forget_late_cancels()
-- Of jobs that were done all the same: finish_claims() does not look for requests.
DELETE FROM weir.job_cancel k
 WHERE NOT EXISTS (SELECT FROM weir.job_claim c, unnest(c.jobs) j
                    WHERE c.worker_id = k.worker_id AND j.id = k.job_id AND j.seq <> ALL (c.settled));

-- name: report_progress(jobs int8[], shares float8[], notes text[])
INSERT INTO weir.job_progress AS g (job_id, share, note) SELECT * FROM unnest(:jobs::int8[], :shares::float8[], :notes::text[])
ON CONFLICT (job_id) DO UPDATE SET share = excluded.share, note = excluded.note, updated_at = clock_timestamp();

-- name: report_queue_stats(process int8, queues int4[], done int8[], failed int8[], dead int8[], running int8[],
--   waits text[], runs text[])
-- Reports come every five seconds at least while anything happens: after a pause the rate is that of the last five.
-- `waits`, `runs`: arrays as text, for an array of arrays has one length.
INSERT INTO weir.queue_stats AS s (queue_id, process_id, done, failed, dead, running, done_rate, failed_rate, waits, runs)
SELECT t.queue_id, :process, t.done, t.failed, t.dead, t.running, t.done / 5.0, t.failed / 5.0, t.waits::int8[],
       t.runs::int8[]
  FROM unnest(:queues::int4[], :done::int8[], :failed::int8[], :dead::int8[], :running::int8[], :waits::text[],
              :runs::text[]) t(queue_id, done, failed, dead, running, waits, runs)
ON CONFLICT (queue_id, process_id) DO UPDATE
   SET done = excluded.done, failed = excluded.failed, dead = excluded.dead, running = excluded.running,
       done_rate = (excluded.done - s.done)
                   / greatest(0.1, least(5, extract(epoch FROM clock_timestamp() - s.updated_at))),
       failed_rate = (excluded.failed - s.failed)
                     / greatest(0.1, least(5, extract(epoch FROM clock_timestamp() - s.updated_at))),
       waits = excluded.waits, runs = excluded.runs, updated_at = clock_timestamp();

-- name: fold_queue_stats()
-- The counters of processes that are gone are kept in row 0 of their queue.
WITH gone AS (
  DELETE FROM weir.queue_stats s
   WHERE s.process_id <> 0 AND NOT EXISTS (SELECT FROM weir.process p WHERE p.id = s.process_id) RETURNING s.*
)
INSERT INTO weir.queue_stats AS s (queue_id, process_id, done, failed, dead)
SELECT g.queue_id, 0, sum(g.done)::int8, sum(g.failed)::int8, sum(g.dead)::int8 FROM gone g GROUP BY 1 ORDER BY 1
ON CONFLICT (queue_id, process_id) DO UPDATE
   SET done = s.done + excluded.done, failed = s.failed + excluded.failed, dead = s.dead + excluded.dead,
       updated_at = clock_timestamp();

-- name: forget_old_keys()
DELETE FROM weir.job_unique WHERE until < now();

-- name: keep_job_history() -> (changed int4)
SELECT weir.keep_job_history() AS changed;

-- name: forget_lost_slots()
-- A slot comes and goes with its claim, save one that was given when its queue got its first limit (give_slots): the job
-- may have ended as one without a slot.
WITH running AS MATERIALIZED (
  SELECT c.queue_id, j.seq FROM weir.job_claim c CROSS JOIN unnest(c.jobs) j
   WHERE EXISTS (SELECT FROM weir.job_slot s WHERE s.queue_id = c.queue_id) AND j.seq <> ALL (c.settled)
)
DELETE FROM weir.job_slot s
 WHERE NOT EXISTS (SELECT FROM running r WHERE r.queue_id = s.queue_id AND r.seq = s.seq);

-- name: forget_old_jobs(most int8) -> (forgotten int8)
-- History of queues that keep less than the partitions hold.
WITH gone AS (
  DELETE FROM weir.job_done d
   USING (SELECT o.tableoid AS part, o.ctid AS tid
            FROM weir.queue q
            JOIN weir.job_done o ON o.queue_id = q.id
             AND o.finished_at < now() - coalesce(q.keep_days, 0) * interval '1 day'
           LIMIT :most) old
   WHERE d.tableoid = old.part AND d.ctid = old.tid RETURNING 1
)
SELECT count(*) AS forgotten FROM gone;

-- name: forget_dead_jobs(most int8) -> (forgotten int8)
-- Of queues that keep them for so many days. What somebody replays or drops right now is his.
WITH old AS MATERIALIZED (
  SELECT o.id
    FROM weir.queue q
   CROSS JOIN LATERAL (
     SELECT d.id FROM weir.job_dead d
      WHERE d.queue_id = q.id AND d.died_at < now() - q.keep_dead_days * interval '1 day'
      ORDER BY d.died_at LIMIT :most FOR UPDATE SKIP LOCKED) o
   WHERE q.keep_dead_days IS NOT NULL LIMIT :most
), gone AS (
  DELETE FROM weir.job_dead d WHERE d.id = ANY (ARRAY(SELECT o.id FROM old o)) RETURNING d.id, d.payload
), large AS (
  DELETE FROM weir.job_payload p WHERE p.id = ANY (ARRAY(SELECT g.id FROM gone g WHERE g.payload IS NULL))
)
SELECT count(*) AS forgotten FROM gone;

-- name: queue_settings(names text[]) -> (
--   id int4, name text, paused bool, relaxed bool, limited bool, keeps_history bool, backoff_ms int8,
--   backoff_cap_ms int8, timeout_ms int8?, rate_ms int8?)
-- All queues where no names are given. rate_ms: the mean time between two starts that its rate allows.
SELECT q.id, q.name, q.paused, q.relaxed, q.limited, q.keep_days IS NOT NULL AS keeps_history, q.backoff_ms,
       q.backoff_cap_ms, q.timeout_ms, q.rate_period_ms / q.rate_limit AS rate_ms
  FROM weir.queue q
 WHERE cardinality(:names::text[]) = 0 OR q.name = ANY (:names::text[])
 ORDER BY q.id;

-- name: make_queue(name text) -> (id int4)
SELECT weir.queue_id(:name) AS id;

-- name: queue_has_jobs(lane int2, queue int4) -> (any bool)
SELECT EXISTS (SELECT FROM weir.job j WHERE j.lane = :lane AND j.queue_id = :queue) AS any;

-- name: queues_with_jobs(lane int2, queues int4[]) -> (id int4)
-- For who serves so many queues that asking each for jobs takes too long: from one queue with jobs to the next one, so
-- that those without cost nothing.
WITH RECURSIVE busy (id) AS (
  (SELECT j.queue_id FROM weir.job j WHERE j.lane = :lane ORDER BY j.queue_id LIMIT 1)
  UNION ALL
  SELECT (SELECT j.queue_id FROM weir.job j WHERE j.lane = :lane AND j.queue_id > b.id ORDER BY j.queue_id LIMIT 1)
    FROM busy b WHERE b.id IS NOT NULL)
SELECT b.id FROM busy b WHERE b.id = ANY (:queues::int4[]);

-- name: queue_has_more(lane int2, queues int4[]) -> (more bool)
-- Waiting, or waiting to be tried again; what is scheduled for later by its producer is not waited for.
SELECT EXISTS (SELECT FROM unnest(:queues::int4[]) q
                WHERE EXISTS (SELECT FROM weir.job j, weir.queue u
                               WHERE u.id = q AND NOT u.paused AND j.lane = :lane AND j.queue_id = q))
       OR EXISTS (SELECT FROM weir.job_later l WHERE l.queue_id = ANY (:queues::int4[]) AND l.attempt > 0)
       OR EXISTS (SELECT FROM weir.job_claim c WHERE c.queue_id = ANY (:queues::int4[])) AS more;
