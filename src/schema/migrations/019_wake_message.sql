-- Who sleeps for all queues was told `job:*`, and had to look for the queue that has work: among a thousand queues, behind
-- the dead rows of busy ones, that took longer than the rest of its waking up. Now it is told which queue it is.

-- As weir.wake() was, which is this with the topic for a message.
CREATE FUNCTION weir.wake_with(topic text, wanted int4, message text) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sleeper int8;
  woken   int4 := 0;
BEGIN
  IF NOT weir.is_held(weir.sleep_key(topic)) THEN
    RETURN 0;
  END IF;
  FOR sleeper IN
    SELECT l.process_id FROM weir.listener l WHERE l.topic = wake_with.topic ORDER BY random()
  LOOP
    IF weir.is_held(weir.sleep_key(topic, sleeper)) THEN
      PERFORM pg_notify('weir_' || sleeper, message);
      woken := woken + 1;
      EXIT WHEN woken >= wanted;
    END IF;
  END LOOP;
  IF woken = 0 AND current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM pg_notify('weir_all', message);
    RETURN 1;
  END IF;
  RETURN woken;
END $$;

CREATE OR REPLACE FUNCTION weir.wake(topic text, wanted int4 DEFAULT 2) RETURNS int4
LANGUAGE sql SET search_path = pg_catalog, pg_temp
RETURN weir.wake_with(topic, wanted, topic);

CREATE OR REPLACE FUNCTION weir.wake_queue(queue_id int4, wanted int4 DEFAULT 2) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  this_queue int8 := hashtextextended('weir.asleep:job:' || queue_id, 0);
  any_queue  int8 := hashtextextended('weir.asleep:job:*', 0);
  nobody     bool := pg_try_advisory_lock(this_queue) AND pg_advisory_unlock(this_queue)
                     AND pg_try_advisory_lock(any_queue) AND pg_advisory_unlock(any_queue);
BEGIN
  IF nobody THEN
    RETURN 0;
  END IF;
  RETURN weir.wake('job:' || queue_id, wanted) + weir.wake_with('job:*', wanted, 'job:' || queue_id);
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_worker', 'routine', 'weir.wake_with(text, int4, text)', 'EXECUTE');

SELECT weir.apply_grants();
