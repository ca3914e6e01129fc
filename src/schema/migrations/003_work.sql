-- What all kinds of work share: processes that live by a lease, and how one that sleeps is woken.
-- The proof of both protocols: models/lease.pml and models/wakeup.pml.

-- One narrow row a process. Everything a process owns names this id, and an id is never used again: who lost his lease
-- comes back as somebody else. A claim locks the row FOR KEY SHARE while it is not dead, and a rescuer locks it FOR
-- UPDATE to make it dead: so no claim of a dead process appears behind its rescuer's back.
CREATE TABLE weir.process (
  id          int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lease_until timestamptz NOT NULL,
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  dead        bool        NOT NULL DEFAULT false,
  first_claim int8        NOT NULL DEFAULT 0,
  name        text        NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
COMMENT ON COLUMN weir.process.first_claim IS 'Claims of a lower number are not begun any more: their fate was settled.';
COMMENT ON TABLE weir.process IS 'The processes that do work; who does not renew lease_until is rescued by the others.';

-- Who may be woken for a topic, such as job:7 for a queue. Written when a process starts and when it ends; whether it
-- sleeps just now is told by a lock (below), because rows that come and go with every nap would bloat.
CREATE TABLE weir.listener (
  topic      text NOT NULL,
  process_id int8 NOT NULL,
  PRIMARY KEY (topic, process_id)
);
COMMENT ON TABLE weir.listener IS 'Which processes take part in waking for which topic.';

-- A process that is about to sleep takes, on its listening session, a shared session lock for the topic and one for
-- itself in the topic. Locks are seen at once, also by transactions with an older snapshot, cost no WAL and no vacuum,
-- and go with their session.
CREATE FUNCTION weir.sleep_key(topic text, process_id int8 DEFAULT NULL) RETURNS int8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('weir.asleep:' || topic || coalesce('@' || process_id, ''), 0);

-- Whether anybody may be asleep. Two that ask in the same instant may each take the other for a sleeper, which costs a
-- NOTIFY and nothing else. One expression: a statement that is cancelled half way would leave the lock behind.
CREATE FUNCTION weir.is_held(key int8) RETURNS bool
LANGUAGE sql VOLATILE
RETURN CASE WHEN pg_try_advisory_lock(key) THEN NOT pg_advisory_unlock(key) ELSE true END;

-- Wakes up to `wanted` sleepers of a topic, and answers how many. To be called after the work is written, so that a
-- sleeper that we did not see finds it by looking again (it looks until every transaction that ran when it lay down
-- has ended). Two by default: one of them may be dying just now. NOTIFY makes commits wait for one another, so nobody
-- is notified who does not sleep.
CREATE FUNCTION weir.wake(topic text, wanted int4 DEFAULT 2) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sleeper int8;
  woken   int4 := 0;
BEGIN
  IF NOT weir.is_held(weir.sleep_key(topic)) THEN
    RETURN 0;
  END IF;
  FOR sleeper IN
    SELECT l.process_id FROM weir.listener l WHERE l.topic = wake.topic ORDER BY random()
  LOOP
    IF weir.is_held(weir.sleep_key(topic, sleeper)) THEN
      PERFORM pg_notify('weir_' || sleeper, topic);
      woken := woken + 1;
      EXIT WHEN woken >= wanted;
    END IF;
  END LOOP;
  RETURN woken;
END $$;
COMMENT ON FUNCTION weir.wake(text, int4) IS 'Wakes sleeping processes for a topic; without any it sends nothing.';

INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_worker', 'table', 'weir.process', 'SELECT'),
  ('weir_worker', 'table', 'weir.process', 'INSERT'),
  ('weir_worker', 'table', 'weir.process', 'UPDATE'),
  ('weir_worker', 'table', 'weir.process', 'DELETE'),
  ('weir_worker', 'table', 'weir.listener', 'SELECT'),
  ('weir_worker', 'table', 'weir.listener', 'INSERT'),
  ('weir_worker', 'table', 'weir.listener', 'DELETE'),
  ('weir_worker', 'routine', 'weir.sleep_key(text, int8)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.is_held(int8)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.wake(text, int4)', 'EXECUTE'),
  ('weir_viewer', 'table', 'weir.process', 'SELECT'),
  ('weir_viewer', 'table', 'weir.listener', 'SELECT');

SELECT weir.apply_grants();
