-- Consumers of a user's own table (weir consume) may be woken by a trigger on it.

-- Tells at commit that rows came, but only while a consumer sleeps: a NOTIFY takes a lock of the whole server at
-- commit, and a busy system must not pay for it. A sleeping consumer holds a shared session lock under this key; who
-- cannot have it exclusively knows that somebody sleeps. Two inserters that try at the same moment disturb each other
-- only into a NOTIFY too many. Lock and unlock are one expression: a cancellation between two statements would leave
-- the inserter's session with the lock.
CREATE FUNCTION weir.wake_consumers() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sleepers constant int8 := hashtextextended('weir sleep:' || TG_RELID, 0);
  asleep   constant bool := CASE WHEN pg_try_advisory_lock(sleepers) THEN NOT pg_advisory_unlock(sleepers) ELSE true END;
BEGIN
  IF asleep THEN
    PERFORM pg_notify('weir_consume_' || TG_RELID, '');
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION weir.wake_consumers() IS 'Trigger of consumed tables: NOTIFY while a consumer of the table sleeps.';

INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_worker', 'routine', 'weir.wake_consumers()', 'EXECUTE');

SELECT weir.apply_grants();
