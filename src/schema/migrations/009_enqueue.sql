-- Enqueue, for the usual job in one statement: with 64 producers each further statement or expression of the function
-- was a twentieth of their rate (docs/benchmarks.md).

-- Everything but a job that is small, due at once and has no unique key: weir.enqueue as it was, which calls this.
CREATE FUNCTION weir.enqueue_unusual(
  queue        text,
  payload      jsonb,
  kind         text,
  priority     int4,
  run_at       timestamptz,
  delay        interval,
  max_attempts int4,
  unique_key   text,
  unique_for   interval,
  if_exists    text,
  limit_key    text,
  deadline     timestamptz
) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  the_queue int4 := weir.queue_id(queue);
  attempts  int4;
  new_id    int8 := nextval('weir.job_id');
  own_id    int8;
  due       timestamptz := coalesce(run_at, now() + delay);
  body      jsonb := coalesce(payload, 'null');
  taken     record;
BEGIN
  SELECT coalesce(enqueue_unusual.max_attempts, q.max_attempts) INTO attempts FROM weir.queue q WHERE q.id = the_queue;
  IF priority NOT BETWEEN -32768 AND 32767 THEN
    RAISE EXCEPTION 'the priority % is outside of -32768 (first) to 32767 (last)', priority
      USING ERRCODE = 'numeric_value_out_of_range';
  ELSIF attempts NOT BETWEEN 1 AND 32767 THEN
    RAISE EXCEPTION 'max_attempts is %, and must be 1 to 32767', max_attempts
      USING ERRCODE = 'numeric_value_out_of_range';
  END IF;

  IF unique_key IS NOT NULL THEN
    IF if_exists IS NULL OR if_exists NOT IN ('ignore', 'replace', 'reschedule') THEN
      RAISE EXCEPTION 'if_exists is %, and must be ignore, replace or reschedule', quote_nullable(if_exists)
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    taken := weir.take_unique_key(the_queue, unique_key, new_id, now() + unique_for, if_exists);
    IF taken.holder IS NOT NULL THEN
      RETURN taken.holder;
    END IF;
    IF (taken.replaced).seq IS NOT NULL THEN
      new_id := coalesce((taken.replaced).own_id, (taken.replaced).seq);
      own_id := new_id;
      IF if_exists = 'reschedule' THEN  -- the same job at another time
        kind := (taken.replaced).kind;
        priority := (taken.replaced).priority;
        limit_key := (taken.replaced).limit_key;
        attempts := coalesce(max_attempts, (taken.replaced).max_attempts);
        deadline := coalesce(deadline, (taken.replaced).deadline_at);
        body := (taken.replaced).payload;
        IF body IS NULL THEN
          DELETE FROM weir.job_payload p WHERE p.id = new_id RETURNING p.payload INTO body;
        END IF;
      ELSE
        DELETE FROM weir.job_payload p WHERE p.id = new_id;
      END IF;
    END IF;
  END IF;

  IF weir.is_large(body) THEN
    INSERT INTO weir.job_payload (id, payload) VALUES (new_id, body);
    body := NULL;
  END IF;
  IF due > clock_timestamp() THEN
    INSERT INTO weir.job_later (id, run_at, queue_id, priority, max_attempts, kind, payload, deadline_at, unique_key,
                                limit_key)
    VALUES (new_id, due, the_queue, priority, attempts, coalesce(kind, ''), body, deadline, unique_key, limit_key);
    IF due > clock_timestamp() + interval '5 s' THEN
      RETURN new_id;  -- whoever moves due jobs looks at least that often
    END IF;
  ELSE
    INSERT INTO weir.job (seq, queue_id, priority, max_attempts, kind, payload, own_id, deadline_at, unique_key,
                          limit_key)
    VALUES (CASE WHEN own_id IS NULL THEN new_id ELSE nextval('weir.job_id') END, the_queue, priority, attempts,
            coalesce(kind, ''), body, own_id, deadline, unique_key, limit_key);
  END IF;
  PERFORM weir.wake_queue(the_queue);
  RETURN new_id;
END $$;

-- It has no search_path of its own, which would cost as much as the rest of it. So every name in here says its schema,
-- operators and types too: what the caller has in his search_path is never looked at.
--
-- RETURNING looks after the row is written whether anybody sleeps, by the lock that all sleepers share
-- (weir.sleep_key('')); it is the question of weir.is_held().
CREATE OR REPLACE FUNCTION weir.enqueue(
  queue        text,
  payload      jsonb       DEFAULT '{}',
  kind         text        DEFAULT '',
  priority     int4        DEFAULT 0,
  run_at       timestamptz DEFAULT NULL,
  delay        interval    DEFAULT NULL,
  max_attempts int4        DEFAULT NULL,
  unique_key   text        DEFAULT NULL,
  unique_for   interval    DEFAULT NULL,
  if_exists    text        DEFAULT 'ignore',
  limit_key    text        DEFAULT NULL,
  deadline     timestamptz DEFAULT NULL
) RETURNS int8
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  new_id    pg_catalog.int8;
  the_queue pg_catalog.int4;
  nobody    pg_catalog.bool;
BEGIN
  IF run_at IS NULL AND delay IS NULL AND unique_key IS NULL AND max_attempts IS NULL THEN
    INSERT INTO weir.job (queue_id, priority, max_attempts, kind, payload, deadline_at, limit_key)
    SELECT q.id, enqueue.priority, q.max_attempts, enqueue.kind, enqueue.payload, enqueue.deadline, enqueue.limit_key
      FROM weir.queue q
     WHERE q.name OPERATOR(pg_catalog.=) enqueue.queue AND enqueue.kind IS NOT NULL
       AND pg_catalog.pg_column_size(enqueue.payload) OPERATOR(pg_catalog.<=) 8192
       AND enqueue.priority OPERATOR(pg_catalog.<=) 32767 AND enqueue.priority OPERATOR(pg_catalog.>=) (-32768)
    RETURNING seq, queue_id,
              pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended('weir.asleep:', 0))
                AND pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended('weir.asleep:', 0))
      INTO new_id, the_queue, nobody;
  END IF;
  IF new_id IS NULL THEN
    RETURN weir.enqueue_unusual(queue, payload, kind, priority, run_at, delay, max_attempts, unique_key, unique_for,
                                if_exists, limit_key, deadline);
  ELSIF NOT nobody THEN
    PERFORM weir.wake_queue(the_queue);
  END IF;
  RETURN new_id;
END $$;

-- As before, but for the order in which it looks.
CREATE OR REPLACE FUNCTION weir.take_unique_key(queue_id int4, unique_key text, new_id int8, until timestamptz, if_exists text,
                                     OUT holder int8, OUT replaced weir.job)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken weir.job_unique;
BEGIN
  LOOP
    INSERT INTO weir.job_unique AS u (queue_id, unique_key, job_id, until)
    VALUES (take_unique_key.queue_id, take_unique_key.unique_key, new_id, take_unique_key.until)
    ON CONFLICT ON CONSTRAINT job_unique_pkey DO UPDATE SET job_id = excluded.job_id, until = excluded.until
      WHERE u.until <= now();
    IF FOUND THEN
      RETURN;
    END IF;
    SELECT * INTO taken FROM weir.job_unique u
     WHERE u.queue_id = take_unique_key.queue_id AND u.unique_key = take_unique_key.unique_key FOR UPDATE;
    EXIT WHEN FOUND;  -- else it was given back just now
  END LOOP;

  IF if_exists = 'ignore' THEN
    holder := taken.job_id;
    RETURN;
  END IF;
  -- In the order in which a job moves, so that one that is promoted just now is found.
  WITH gone AS (DELETE FROM weir.job_later l WHERE l.id = taken.job_id RETURNING l.*)
  SELECT g.id, g.created_at, g.queue_id, g.lane, g.priority, g.attempt, g.max_attempts, g.kind, g.payload, g.id,
         g.deadline_at, g.unique_key, g.limit_key, g.error INTO replaced FROM gone g;
  IF NOT FOUND THEN
    DELETE FROM weir.job j USING weir.waiting_job(taken.job_id) w
     WHERE j.lane = w.lane AND j.queue_id = w.queue_id AND j.priority = w.priority AND j.seq = w.seq
    RETURNING j.* INTO replaced;
  END IF;
  UPDATE weir.job_unique u SET job_id = CASE WHEN replaced.seq IS NULL THEN new_id ELSE taken.job_id END,
                               until = take_unique_key.until
   WHERE u.queue_id = take_unique_key.queue_id AND u.unique_key = take_unique_key.unique_key;
END $$;

-- As before, and: a producer whose snapshot is older than a sleeper's row in weir.listener sees the sleeper's lock and not
-- whose it is. It wakes everybody.
CREATE OR REPLACE FUNCTION weir.wake(topic text, wanted int4 DEFAULT 2) RETURNS int4
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
  IF woken = 0 AND current_setting('transaction_isolation') <> 'read committed' THEN
    PERFORM pg_notify('weir_all', topic);
    RETURN 1;
  END IF;
  RETURN woken;
END $$;

SELECT weir.apply_grants();
