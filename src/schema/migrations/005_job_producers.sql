-- How jobs come in: functions that any client calls inside of its own transaction. They run with the rights of the
-- schema's owner: a producer reads and writes no table.

-- Finds a queue, or makes it.
CREATE FUNCTION weir.queue_id(queue text) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_id int4;
BEGIN
  SELECT q.id INTO found_id FROM weir.queue q WHERE q.name = queue_id.queue;
  IF found_id IS NULL THEN
    INSERT INTO weir.queue (name) VALUES (queue_id.queue) ON CONFLICT (name) DO NOTHING RETURNING id INTO found_id;
    IF found_id IS NULL THEN
      SELECT q.id INTO STRICT found_id FROM weir.queue q WHERE q.name = queue_id.queue;
    END IF;
  END IF;
  RETURN found_id;
END $$;
COMMENT ON FUNCTION weir.queue_id(text) IS 'The id of a queue, which is made if it does not exist.';

-- job:* is the topic of processes that serve so many queues that a lock for each would be too much. The keys are those of
-- weir.sleep_key() and the question is that of weir.is_held(), written out: this is asked for every job that comes in, and
-- a call costs more than the answer.
CREATE FUNCTION weir.wake_queue(queue_id int4, wanted int4 DEFAULT 2) RETURNS int4
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
  RETURN weir.wake('job:' || queue_id, wanted) + weir.wake('job:*', wanted);
END $$;

-- A payload of more than this is kept beside its job (weir.job_payload).
CREATE FUNCTION weir.is_large(payload jsonb) RETURNS bool
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_column_size(payload) > 8192;

-- Takes the key for new_id, or answers who has it and keeps it. `replace` and `reschedule` take it from a job that
-- still waits, which is then gone and answered in `replaced`, so that the new one takes its place; a job that runs
-- is left alone, and loses the key.
CREATE FUNCTION weir.take_unique_key(queue_id int4, unique_key text, new_id int8, until timestamptz, if_exists text,
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
  DELETE FROM weir.job j USING weir.waiting_job(taken.job_id) w
   WHERE j.lane = w.lane AND j.queue_id = w.queue_id AND j.priority = w.priority AND j.seq = w.seq
  RETURNING j.* INTO replaced;
  IF NOT FOUND THEN
    WITH gone AS (DELETE FROM weir.job_later l WHERE l.id = taken.job_id RETURNING l.*)
    SELECT g.id, g.created_at, g.queue_id, g.lane, g.priority, g.attempt, g.max_attempts, g.kind, g.payload, g.id,
           g.deadline_at, g.unique_key, g.limit_key, g.error INTO replaced FROM gone g;
  END IF;
  UPDATE weir.job_unique u SET job_id = CASE WHEN replaced.seq IS NULL THEN new_id ELSE taken.job_id END,
                               until = take_unique_key.until
   WHERE u.queue_id = take_unique_key.queue_id AND u.unique_key = take_unique_key.unique_key;
END $$;

-- Where a job waits, found by its id alone: in each (lane, queue, priority) that has any by one look at the index.
CREATE FUNCTION weir.waiting_job(id int8)
RETURNS TABLE (lane int2, queue_id int4, priority int2, seq int8)
LANGUAGE sql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
  SELECT j.lane, j.queue_id, j.priority, j.seq FROM weir.job j WHERE j.own_id = waiting_job.id
  UNION ALL
  (WITH RECURSIVE part AS (
     (SELECT j.lane, j.queue_id, j.priority FROM weir.job j ORDER BY j.lane, j.queue_id, j.priority LIMIT 1)
     UNION ALL
     SELECT n.lane, n.queue_id, n.priority
       FROM part p,
            LATERAL (SELECT j.lane, j.queue_id, j.priority FROM weir.job j
                      WHERE (j.lane, j.queue_id, j.priority) > (p.lane, p.queue_id, p.priority)
                      ORDER BY j.lane, j.queue_id, j.priority LIMIT 1) n)
   SELECT j.lane, j.queue_id, j.priority, j.seq
     FROM part p JOIN weir.job j ON j.lane = p.lane AND j.queue_id = p.queue_id AND j.priority = p.priority
                                AND j.seq = waiting_job.id AND j.own_id IS NULL);
$$;

CREATE FUNCTION weir.enqueue(
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
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  the_queue int4;
  attempts  int4;
  new_id    int8;
  own_id    int8;
  due       timestamptz := coalesce(run_at, now() + delay);
  body      jsonb := coalesce(payload, 'null');
  taken     record;
BEGIN
  SELECT q.id, coalesce(enqueue.max_attempts, q.max_attempts) INTO the_queue, attempts
    FROM weir.queue q WHERE q.name = enqueue.queue;
  IF the_queue IS NULL THEN
    the_queue := weir.queue_id(enqueue.queue);
    SELECT coalesce(enqueue.max_attempts, q.max_attempts) INTO attempts FROM weir.queue q WHERE q.id = the_queue;
  END IF;
  IF priority NOT BETWEEN -32768 AND 32767 THEN
    RAISE EXCEPTION 'the priority % is outside of -32768 (first) to 32767 (last)', priority
      USING ERRCODE = 'numeric_value_out_of_range';
  ELSIF attempts NOT BETWEEN 1 AND 32767 THEN
    RAISE EXCEPTION 'max_attempts is %, and must be 1 to 32767', max_attempts
      USING ERRCODE = 'numeric_value_out_of_range';
  END IF;

  IF unique_key IS NULL AND due IS NULL AND NOT weir.is_large(body) THEN  -- nearly all jobs
    INSERT INTO weir.job (queue_id, priority, max_attempts, kind, payload, deadline_at, limit_key)
    VALUES (the_queue, enqueue.priority, attempts, coalesce(enqueue.kind, ''), body, deadline, enqueue.limit_key)
    RETURNING seq INTO new_id;
    PERFORM weir.wake_queue(the_queue);
    RETURN new_id;
  END IF;

  new_id := nextval('weir.job_id');
  IF unique_key IS NOT NULL THEN
    IF if_exists NOT IN ('ignore', 'replace', 'reschedule') THEN
      RAISE EXCEPTION 'if_exists is %, and must be ignore, replace or reschedule', quote_literal(if_exists)
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
        max_attempts := coalesce(max_attempts, (taken.replaced).max_attempts);
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
COMMENT ON FUNCTION weir.enqueue IS
  'Adds a job in the caller''s transaction and answers its id; for a unique key that is taken, the id of who has it.';

-- Many jobs of one kind in one statement; their ids in the order of the payloads.
CREATE FUNCTION weir.enqueue_many(
  queue        text,
  payloads     jsonb[],
  kind         text        DEFAULT '',
  priority     int4        DEFAULT 0,
  run_at       timestamptz DEFAULT NULL,
  delay        interval    DEFAULT NULL,
  max_attempts int4        DEFAULT NULL
) RETURNS SETOF int8
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  q   weir.queue%ROWTYPE;
  due timestamptz := coalesce(run_at, now() + delay);
BEGIN
  q.id := weir.queue_id(enqueue_many.queue);
  SELECT * INTO STRICT q FROM weir.queue WHERE id = q.id;
  IF due > clock_timestamp() THEN
    RETURN QUERY
      WITH item AS MATERIALIZED (
        SELECT nextval('weir.job_id') AS id, coalesce(p.payload, 'null') AS payload
          FROM unnest(payloads) WITH ORDINALITY p(payload, n) ORDER BY p.n),
      large AS (INSERT INTO weir.job_payload (id, payload)
                SELECT i.id, i.payload FROM item i WHERE weir.is_large(i.payload)),
      later AS (INSERT INTO weir.job_later (id, run_at, queue_id, priority, max_attempts, kind, payload)
                SELECT i.id, due, q.id, enqueue_many.priority::int2,
                       coalesce(enqueue_many.max_attempts, q.max_attempts)::int2, coalesce(enqueue_many.kind, ''),
                       CASE WHEN NOT weir.is_large(i.payload) THEN i.payload END
                  FROM item i)
      SELECT i.id FROM item i;
  ELSE
    RETURN QUERY
      WITH item AS MATERIALIZED (
        SELECT nextval('weir.job_id') AS id, coalesce(p.payload, 'null') AS payload
          FROM unnest(payloads) WITH ORDINALITY p(payload, n) ORDER BY p.n),
      large AS (INSERT INTO weir.job_payload (id, payload)
                SELECT i.id, i.payload FROM item i WHERE weir.is_large(i.payload)),
      now_job AS (INSERT INTO weir.job (seq, queue_id, priority, max_attempts, kind, payload)
                  SELECT i.id, q.id, enqueue_many.priority::int2,
                         coalesce(enqueue_many.max_attempts, q.max_attempts)::int2, coalesce(enqueue_many.kind, ''),
                         CASE WHEN NOT weir.is_large(i.payload) THEN i.payload END
                    FROM item i)
      SELECT i.id FROM item i;
  END IF;
  PERFORM weir.wake_queue(q.id, greatest(2, least(16, cardinality(payloads) / 100)));
END $$;
COMMENT ON FUNCTION weir.enqueue_many IS 'Adds a job for each payload in the caller''s transaction; answers their ids.';

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT r, 'routine', f, 'EXECUTE'
    FROM unnest(ARRAY['weir_producer', 'weir_worker']) r,
         unnest(ARRAY[
           'weir.queue_id(text)',
           'weir.wake_queue(int4, int4)',
           'weir.enqueue(text, jsonb, text, int4, timestamptz, interval, int4, text, interval, text, text, timestamptz)',
           'weir.enqueue_many(text, jsonb[], text, int4, timestamptz, interval, int4)']) f;
INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_worker', 'routine', 'weir.is_large(jsonb)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.waiting_job(int8)', 'EXECUTE'),
  ('weir_viewer', 'routine', 'weir.waiting_job(int8)', 'EXECUTE');

SELECT weir.apply_grants();
