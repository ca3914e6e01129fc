-- What an enqueue cannot be, in words of its own: most of it was the error of a cast or a constraint, and some of it none.

CREATE OR REPLACE FUNCTION weir.queue_id(queue text) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  found_id int4;
BEGIN
  SELECT q.id INTO found_id FROM weir.queue q WHERE q.name = queue_id.queue;
  IF found_id IS NULL THEN
    IF length(coalesce(queue, '')) NOT BETWEEN 1 AND 100 THEN
      RAISE EXCEPTION '% cannot be the name of a queue', coalesce(quote_literal(left(queue, 60)), 'null')
        USING ERRCODE = 'invalid_parameter_value',
              HINT = 'A name has 1 to 100 characters.';
    END IF;
    INSERT INTO weir.queue (name) VALUES (queue_id.queue) ON CONFLICT (name) DO NOTHING RETURNING id INTO found_id;
    IF found_id IS NULL THEN
      SELECT q.id INTO STRICT found_id FROM weir.queue q WHERE q.name = queue_id.queue;
    END IF;
  END IF;
  RETURN found_id;
END $$;

CREATE FUNCTION weir.check_new_job(priority int4, max_attempts int4, unique_for interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF coalesce(priority NOT BETWEEN -32768 AND 32767, true) THEN
    RAISE EXCEPTION 'the priority is %, and must be -32768 (first) to 32767 (last)', coalesce(priority::text, 'null')
      USING ERRCODE = 'numeric_value_out_of_range';
  ELSIF max_attempts NOT BETWEEN 1 AND 32767 THEN
    RAISE EXCEPTION 'max_attempts is %, and must be 1 to 32767', max_attempts
      USING ERRCODE = 'numeric_value_out_of_range';
  ELSIF unique_for <= interval '0' THEN
    RAISE EXCEPTION 'unique_for is %, and must be more than nothing', unique_for
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'It is how long the key is kept; without it, as long as the job is to be done.';
  END IF;
END $$;

-- As they were, but for the checks.
CREATE OR REPLACE FUNCTION weir.enqueue_unusual(
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
  PERFORM weir.check_new_job(priority, enqueue_unusual.max_attempts, unique_for);

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

CREATE OR REPLACE FUNCTION weir.enqueue_many(
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
  PERFORM weir.check_new_job(priority, max_attempts);
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

-- As it was; but the planner makes a smallint of the priority before it looks at a WHERE.
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
  IF run_at IS NULL AND delay IS NULL AND unique_key IS NULL AND max_attempts IS NULL
     AND priority OPERATOR(pg_catalog.<=) 32767 AND priority OPERATOR(pg_catalog.>=) (-32768) THEN
    INSERT INTO weir.job (queue_id, priority, max_attempts, kind, payload, deadline_at, limit_key)
    SELECT q.id, enqueue.priority, q.max_attempts, enqueue.kind, enqueue.payload, enqueue.deadline, enqueue.limit_key
      FROM weir.queue q
     WHERE q.name OPERATOR(pg_catalog.=) enqueue.queue AND enqueue.kind IS NOT NULL
       AND pg_catalog.pg_column_size(enqueue.payload) OPERATOR(pg_catalog.<=) 8192
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

SELECT weir.apply_grants();
