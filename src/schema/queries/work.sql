-- Processes and their leases; how one sleeps and is woken. See migrations/003_work.sql.

-- name: register_process(name text, lease_ms int8) -> (id int8)
INSERT INTO weir.process (name, lease_until) VALUES (:name, clock_timestamp() + :lease_ms::int8 * interval '1 ms')
RETURNING id;

-- name: renew_process(process int8, lease_ms int8) -> (id int8)
-- No row: the lease is lost for good, and so is everything that was claimed under this id.
UPDATE weir.process SET lease_until = clock_timestamp() + :lease_ms::int8 * interval '1 ms'
 WHERE id = :process AND NOT dead RETURNING id;

-- name: retire_process(process int8)
-- The end of a process that has handed everything back. One that was declared dead meanwhile buries itself, for there
-- may be nobody left to do it; what it still owns is its rescuer's.
WITH gone AS (DELETE FROM weir.listener WHERE process_id = :process)
DELETE FROM weir.process p
 WHERE p.id = :process
   AND (NOT p.dead OR NOT EXISTS (SELECT FROM weir.job_claim c WHERE c.worker_id = p.id)
        AND NOT EXISTS (SELECT FROM weir.task t WHERE t.state = 'running' AND t.worker_id = p.id)
        AND NOT EXISTS (SELECT FROM weir.stream_claim c WHERE c.worker_id = p.id));

-- name: declare_dead() -> (id int8, name text)
-- models/lease.pml: `verdict`.
-- FOR UPDATE, which a claim's FOR KEY SHARE keeps away: one that claims this very moment is looked at the next time.
WITH late AS MATERIALIZED (
  SELECT id FROM weir.process WHERE lease_until < clock_timestamp() AND NOT dead FOR UPDATE SKIP LOCKED)
UPDATE weir.process p SET dead = true FROM late WHERE p.id = late.id RETURNING p.id, p.name;

-- name: dead_processes() -> (id int8)
SELECT p.id FROM weir.process p WHERE p.dead ORDER BY p.id;

-- name: bury_processes() -> (id int8)
-- Dead processes that own nothing any more. models/lease.pml: `forget`.
WITH gone AS (
  DELETE FROM weir.process p
   WHERE p.dead AND NOT EXISTS (SELECT FROM weir.job_claim c WHERE c.worker_id = p.id)
     AND NOT EXISTS (SELECT FROM weir.task t WHERE t.state = 'running' AND t.worker_id = p.id)
     AND NOT EXISTS (SELECT FROM weir.stream_claim c WHERE c.worker_id = p.id)
  RETURNING p.id), listener AS (DELETE FROM weir.listener l USING gone WHERE l.process_id = gone.id)
SELECT id FROM gone;

-- name: hang_up_for(process int8) -> (ended bool)
-- Ends the sessions that a dead process may still have: it may be frozen, asleep with its locks held. Only where we may.
-- Waits for their end a while: who is woken next has to see what they gave up.
SELECT pg_terminate_backend(a.pid, 1000) AS ended
  FROM pg_catalog.pg_stat_activity a
 WHERE a.application_name ~ ('^weir:[a-z]+:p' || :process::int8 || '$') AND a.usename = current_user
   AND a.pid <> pg_backend_pid();

-- name: wake_for(process int8) -> (woken int8)
-- What a dead process was woken for, or was claiming, waits again without anybody having been told.
SELECT sum(weir.wake(l.topic))::int8 AS woken FROM weir.listener l WHERE l.process_id = :process HAVING count(*) > 0;

-- name: join_topics(process int8, topics text[])
-- Unless it was declared dead in the meantime, and perhaps buried: then nobody would take it out again.
WITH me AS MATERIALIZED (SELECT p.id FROM weir.process p WHERE p.id = :process AND NOT p.dead FOR KEY SHARE)
INSERT INTO weir.listener (topic, process_id) SELECT t, me.id FROM me, unnest(:topics::text[]) t ON CONFLICT DO NOTHING;

-- name: lie_down(process int8, topics text[]) -> (held int8)
-- models/wakeup.pml: `asleep`.
-- Says that the process sleeps: in each topic, in each as itself, and at all, which is the one that a producer of a busy
-- system looks at. It waits for the locks: one who only tries may meet a producer that looks.
SELECT count(pg_advisory_lock_shared(weir.sleep_key('')) IS NULL)
         + count(pg_advisory_lock_shared(weir.sleep_key(t)) IS NULL) + count(pg_advisory_lock(weir.sleep_key(t, :process)) IS NULL)
         AS held
  FROM unnest(:topics::text[]) t;

-- name: undecided_from() -> (xid text)
-- models/wakeup.pml: `bound`.
-- Once the locks are held, and in a statement of its own: an id above all that were given out. Whoever enqueued without
-- seeing the sleeper has a lower one. A snapshot's xmax does not serve: it is the first that has not ended, and those
-- that run may be above it.
SELECT pg_current_xact_id()::text AS xid;

-- name: all_decided(before text) -> (decided bool)
-- Whether every transaction below that id has ended. What they wrote is seen by a claim that begins after this.
SELECT pg_snapshot_xmin(pg_current_snapshot()) >= :before::text::xid8 AS decided;

-- name: get_up(process int8, topics text[]) -> (held int8)
SELECT count(pg_advisory_unlock_shared(weir.sleep_key('')))
         + count(pg_advisory_unlock_shared(weir.sleep_key(t))) + count(pg_advisory_unlock(weir.sleep_key(t, :process)))
         AS held
  FROM unnest(:topics::text[]) t;

-- name: wake_topic(topic text, wanted int4) -> (woken int4)
SELECT weir.wake(:topic, :wanted) AS woken;
