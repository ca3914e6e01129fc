-- Groups: batches that are applied in order. A batch belongs to a group, which is a tenant's key in a feed, and to a run
-- within it. A feed has sinks; each sink has each batch before it once, and a sink may follow another one.
--
--   feed, feed_sink  what there is, and for whom
--   batch_run        runs, by name: made by their first batch
--   batch            what was submitted: written once, kept for a time, dropped by days of its run
--   batch_step       what a sink has before it; gone when the sink is done with it
--   batch_turn       which batch of a run a sink takes next, or that the run has failed there
--   group_hold       who has a group, and the batch that he applies: a row for each group in flight in the fleet
--   batch_attempt    history: each attempt when it ended, and each batch that failed without one
--
-- Why what is to be done and what was done are in different tables: docs/decisions/0014.
-- Who changes more than one row locks them in this order: holds, then steps by sink, run and index, then turns.

CREATE TABLE weir.feed (
  id           int4        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  max_attempts int2        NOT NULL DEFAULT 3 CHECK (max_attempts > 0),
  backoff_ms   int8        NOT NULL DEFAULT 15000 CHECK (backoff_ms >= 0),
  lease_ms     int8        NOT NULL DEFAULT 60000 CHECK (lease_ms >= 1000),
  keep_ms      int8        NOT NULL DEFAULT 7 * 86400000 CHECK (keep_ms >= 86400000),
  stranded_ms  int8        NOT NULL DEFAULT 6 * 3600000 CHECK (stranded_ms > 0),
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  name         text        NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 200)
);
COMMENT ON COLUMN weir.feed.backoff_ms IS 'After the first attempt; after the second twice of it, and so on.';
COMMENT ON COLUMN weir.feed.stranded_ms IS 'How long a run waits for a batch that is missing, before it fails.';

CREATE TABLE weir.feed_sink (
  id         int4        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  feed_id    int4        NOT NULL REFERENCES weir.feed,
  after_id   int4        REFERENCES weir.feed_sink,
  paused     bool        NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  name       text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
  UNIQUE (feed_id, name)
);
CREATE INDEX feed_sink_after ON weir.feed_sink (after_id);
COMMENT ON COLUMN weir.feed_sink.after_id IS 'The sink that has to have a batch first.';

-- No foreign keys from here on: each batch would lock the row of its feed, which all producers share.
CREATE TABLE weir.batch_run (
  id         int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  feed_id    int4        NOT NULL,
  last_idx   int4        CHECK (last_idx >= 0),
  supersedes bool        NOT NULL DEFAULT false,
  tenant     text        COLLATE "C" NOT NULL,
  key        text        COLLATE "C" NOT NULL,
  run        text,
  UNIQUE (feed_id, tenant, key, run)
);
CREATE INDEX batch_run_supersedes ON weir.batch_run (feed_id, tenant, key, id) WHERE supersedes;
COMMENT ON COLUMN weir.batch_run.last_idx IS 'Of its final batch, once that was submitted.';
COMMENT ON COLUMN weir.batch_run.supersedes IS 'What is left of the older runs of its group is not wanted any more, whenever they come to light.';

CREATE TABLE weir.batch (
  run_at     timestamptz NOT NULL,
  run_id     int8        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  idx        int4        NOT NULL,
  final      bool        NOT NULL,
  rows       int8,
  bytes      int8,
  payload    jsonb       NOT NULL,
  PRIMARY KEY (run_at, run_id, idx)
) PARTITION BY RANGE (run_at);
COMMENT ON COLUMN weir.batch.run_at IS 'When its run was made, so that an index is unique in its run.';

CREATE TABLE weir.batch_step (
  run_id     int8        NOT NULL,
  run_at     timestamptz NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  next_at    timestamptz,
  sink_id    int4        NOT NULL,
  idx        int4        NOT NULL,
  attempt    int2        NOT NULL DEFAULT 0,
  state      text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'executing', 'waiting_retry')),
  tenant     text        COLLATE "C" NOT NULL,
  key        text        COLLATE "C" NOT NULL,
  error      text,
  PRIMARY KEY (sink_id, tenant, key, run_id, idx)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

CREATE TABLE weir.batch_turn (
  run_id   int8 NOT NULL,
  sink_id  int4 NOT NULL,
  next_idx int4 NOT NULL DEFAULT 0,
  failed   bool NOT NULL DEFAULT false,
  error    text,
  PRIMARY KEY (run_id, sink_id)
) WITH (fillfactor = 70);
CREATE INDEX batch_turn_failed ON weir.batch_turn (sink_id) WHERE failed;

CREATE TABLE weir.group_hold (
  sink_id    int4        NOT NULL,
  lock_key   int4,
  pid        int4        NOT NULL DEFAULT pg_backend_pid(),
  idx        int4,
  run_id     int8,
  attempt    int2,
  taken_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  begun_at   timestamptz,
  beat_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at timestamptz NOT NULL,
  tenant     text        COLLATE "C" NOT NULL,
  key        text        COLLATE "C" NOT NULL,
  owner      text        NOT NULL,
  PRIMARY KEY (sink_id, tenant, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, vacuum_truncate = off);
COMMENT ON COLUMN weir.group_hold.lock_key IS 'Held by advisory lock, by this key in the space of its sink; null: by lease.';
COMMENT ON COLUMN weir.group_hold.run_id IS 'With idx the batch that is executing; null between two of them.';

CREATE TABLE weir.batch_attempt (
  ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  begun_at timestamptz,
  run_at   timestamptz NOT NULL,
  run_id   int8        NOT NULL,
  sink_id  int4        NOT NULL,
  idx      int4        NOT NULL,
  attempt  int2        NOT NULL,
  outcome  text        NOT NULL CHECK (outcome IN ('succeeded', 'retry', 'failed', 'lost', 'returned')),
  owner    text,
  error    text
) PARTITION BY RANGE (ended_at);
CREATE INDEX batch_attempt_batch ON weir.batch_attempt (run_id, sink_id, idx);
CREATE INDEX batch_attempt_failed ON weir.batch_attempt (sink_id, ended_at) WHERE outcome = 'failed';
CREATE INDEX batch_attempt_time ON weir.batch_attempt USING brin (ended_at);
COMMENT ON COLUMN weir.batch_attempt.outcome IS 'succeeded and failed are the end; lost: its consumer died; returned: it stopped and gave the batch back.';

-- Makes the days to come. Waits for whoever else does it.
CREATE FUNCTION weir.make_batch_days() RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  today  date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  parent text;
  day    date;
  part   text;
  made   int4 := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('weir.batch_days', 0));
  FOREACH parent IN ARRAY ARRAY['batch', 'batch_attempt'] LOOP
    FOR day IN SELECT today + n FROM generate_series(-1, 7) n LOOP
      part := parent || '_' || to_char(day, 'YYYYMMDD');
      CONTINUE WHEN to_regclass('weir.' || part) IS NOT NULL;
      BEGIN
        EXECUTE format('CREATE TABLE weir.%I (LIKE weir.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
        EXECUTE format('ALTER TABLE weir.%I ATTACH PARTITION weir.%I FOR VALUES FROM (%L) TO (%L)', parent, part,
                       day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
      EXCEPTION
        WHEN lock_not_available THEN
          NULL;
        WHEN check_violation THEN  -- the other days are made all the same
          RAISE WARNING 'rows of % are in a DEFAULT partition of weir.%: its day cannot be made', day, parent;
      END;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

-- Makes the days to come, drops those that are past their time. As weir.keep_run_history(). A batch that somebody still has
-- before him keeps the day of its run. Who reads a day that is past is not waited for: everybody else would wait behind us.
CREATE FUNCTION weir.keep_batch_days() RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  today   date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  oldest  date := today - (SELECT coalesce(max(f.keep_ms), 7 * 86400000::int8) / 86400000 FROM weir.feed f)::int4;
  parent  text;
  part    text;
  changed int4;
  gone    bool := false;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.batch_days', 0)) THEN
    RETURN 0;
  END IF;
  changed := weir.make_batch_days();
  oldest := least(oldest, (SELECT (min(s.run_at) AT TIME ZONE 'UTC')::date FROM weir.batch_step s));
  FOREACH parent IN ARRAY ARRAY['batch', 'batch_attempt'] LOOP
    FOR part IN
      SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = to_regclass('weir.' || parent) AND c.relname ~ ('^' || parent || '_\d{8}$')
         AND to_date(right(c.relname, 8), 'YYYYMMDD') < oldest
    LOOP
      BEGIN
        -- Whoever submits to an old run is waited for, and counts.
        EXECUTE format('LOCK TABLE weir.%I IN ACCESS EXCLUSIVE MODE', part);
        CONTINUE WHEN parent = 'batch' AND EXISTS (
          SELECT FROM weir.batch_step s WHERE (s.run_at AT TIME ZONE 'UTC')::date = to_date(right(part, 8), 'YYYYMMDD'));
        EXECUTE format('DROP TABLE weir.%I', part);
        changed := changed + 1;
        gone := true;
      EXCEPTION WHEN lock_not_available THEN
        NULL;  -- somebody reads history: what was made stays, and this one goes the next time
      END;
    END LOOP;
  END LOOP;
  IF NOT gone THEN
    RETURN changed;
  END IF;
  DELETE FROM weir.batch_run r
   WHERE r.created_at < oldest::timestamp AT TIME ZONE 'UTC'
     AND NOT EXISTS (SELECT FROM weir.feed_sink k JOIN weir.batch_step s
                         ON s.sink_id = k.id AND s.tenant = r.tenant AND s.key = r.key AND s.run_id = r.id
                      WHERE k.feed_id = r.feed_id);
  DELETE FROM weir.batch_turn t WHERE NOT EXISTS (SELECT FROM weir.batch_run r WHERE r.id = t.run_id);
  RETURN changed;
END $$;
SELECT weir.keep_batch_days();

-- Between a new sink and those who put batches before sinks: each is before every sink that was there at the time.
CREATE FUNCTION weir.feed_lock(feed int4) RETURNS int8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('weir.feed:' || feed, 0);

-- The run that says that what is left of an older one of its group is not wanted any more. Looked up when it is needed: the
-- older one may be committed after it.
CREATE FUNCTION weir.superseded_by(feed int4, tenant text, key text, run int8) RETURNS int8
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
BEGIN
  RETURN (SELECT b.id FROM weir.batch_run b
           WHERE b.feed_id = superseded_by.feed AND b.tenant = superseded_by.tenant AND b.key = superseded_by.key AND b.supersedes
             AND b.id > superseded_by.run ORDER BY b.id DESC LIMIT 1);
END $$;

-- Submits a batch; answers its run and index, '17.0'. Without `run` it is a run of its own. Without `idx` it is the next of
-- its run. `final`: none follows. `supersede`: what is left of the group's older runs fails. The same batch submitted again
-- is the same batch.
CREATE FUNCTION weir.submit_batch(tenant text, key text, payload jsonb, run text DEFAULT NULL, idx int4 DEFAULT NULL,
                                  final bool DEFAULT NULL, feed text DEFAULT 'default', rows int8 DEFAULT NULL,
                                  bytes int8 DEFAULT NULL, supersede bool DEFAULT false) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  the_feed int4 := (SELECT f.id FROM weir.feed f WHERE f.name = submit_batch.feed);
  r        weir.batch_run;
  place    int4 := submit_batch.idx;
  is_final bool := coalesce(submit_batch.final, submit_batch.run IS NULL);
  is_same  bool;
  newest   int4;
BEGIN
  IF the_feed IS NULL THEN
    RAISE EXCEPTION 'there is no feed %', quote_literal(coalesce(submit_batch.feed, '')) USING ERRCODE = 'no_data_found',
      HINT = 'weir feed create makes one; weir feed list shows which there are.';
  END IF;
  IF submit_batch.tenant IS NULL OR submit_batch.key IS NULL OR submit_batch.payload IS NULL THEN
    RAISE EXCEPTION 'a batch has a tenant, a key and a payload' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF place NOT BETWEEN 0 AND 1000000000 THEN
    RAISE EXCEPTION 'the index of a batch is a number from 0 to 1000000000: %', place USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF pg_column_size(submit_batch.payload) > 64 * 1024 * 1024 THEN
    RAISE EXCEPTION 'the payload of a batch has at most 64 MB: %', pg_size_pretty(pg_column_size(submit_batch.payload)::int8)
      USING ERRCODE = 'program_limit_exceeded', HINT = 'Submit several batches of one run, or say in the payload where the data is.';
  END IF;
  PERFORM pg_advisory_xact_lock_shared(weir.feed_lock(the_feed));
  IF submit_batch.run IS NOT NULL THEN
    SELECT * INTO r FROM weir.batch_run b
     WHERE b.feed_id = the_feed AND b.tenant = submit_batch.tenant AND b.key = submit_batch.key AND b.run = submit_batch.run FOR UPDATE;
  END IF;
  IF r.id IS NULL THEN
    INSERT INTO weir.batch_run (feed_id, tenant, key, run, last_idx, supersedes)
    VALUES (the_feed, submit_batch.tenant, submit_batch.key, submit_batch.run, CASE WHEN is_final THEN coalesce(place, 0) END,
            submit_batch.supersede)
    ON CONFLICT ON CONSTRAINT batch_run_feed_id_tenant_key_run_key DO UPDATE SET run = excluded.run RETURNING * INTO r;
    IF to_regclass('weir.batch_' || to_char(r.created_at AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NULL THEN
      PERFORM weir.make_batch_days();  -- no consumer has run for a week
    END IF;
  END IF;
  place := coalesce(place, (SELECT b.idx + 1 FROM weir.batch b WHERE b.run_at = r.created_at AND b.run_id = r.id ORDER BY b.idx DESC LIMIT 1), 0);
  SELECT b.payload = submit_batch.payload AND b.final = is_final INTO is_same
    FROM weir.batch b WHERE b.run_at = r.created_at AND b.run_id = r.id AND b.idx = place;
  IF is_same THEN
    RETURN r.id || '.' || place;
  ELSIF is_same IS NOT NULL THEN
    RAISE EXCEPTION 'batch % of the run % was submitted before, and was another one', place, quote_literal(r.run)
      USING ERRCODE = 'unique_violation';
  END IF;
  IF submit_batch.run IS NOT NULL AND weir.superseded_by(the_feed, r.tenant, r.key, r.id) IS NOT NULL THEN
    RAISE EXCEPTION 'the run % was superseded by another one', quote_literal(r.run) USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF place > r.last_idx THEN
    RAISE EXCEPTION 'batch % of the run % cannot be there: % is its final one', place, quote_literal(r.run), r.last_idx
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'What comes after the final batch is another run.';
  END IF;
  newest := (SELECT max(b.idx) FROM weir.batch b WHERE is_final AND b.run_at = r.created_at AND b.run_id = r.id);
  IF newest > place THEN
    RAISE EXCEPTION 'batch % of the run % cannot be its final one: batch % is there', place, quote_literal(r.run), newest
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'The batch with the highest index is the final one.';
  END IF;
  INSERT INTO weir.batch (run_at, run_id, idx, final, rows, bytes, payload)
  VALUES (r.created_at, r.id, place, is_final, submit_batch.rows, submit_batch.bytes, submit_batch.payload)
  ON CONFLICT DO NOTHING;  -- whose snapshot is too old to have seen it is told to begin again
  INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at)
  SELECT k.id, submit_batch.tenant, submit_batch.key, r.id, place, r.created_at
    FROM weir.feed_sink k
   WHERE k.feed_id = the_feed AND k.after_id IS NULL
     AND (k.created_at < r.created_at  -- a sink that came later has nothing of a run before its turn there
          OR place >= coalesce((SELECT t.next_idx FROM weir.batch_turn t WHERE t.run_id = r.id AND t.sink_id = k.id), 0));
  IF NOT EXISTS (SELECT FROM weir.feed_sink k WHERE k.feed_id = the_feed) THEN
    RAISE EXCEPTION 'the feed % has no sink: nobody would ever have the batch', quote_literal(submit_batch.feed)
      USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'weir feed sink adds one.';
  END IF;
  IF is_final AND r.last_idx IS NULL OR submit_batch.supersede AND NOT r.supersedes THEN
    UPDATE weir.batch_run b
       SET last_idx = CASE WHEN is_final THEN place ELSE b.last_idx END, supersedes = b.supersedes OR submit_batch.supersede
     WHERE b.id = r.id;
  END IF;
  RETURN r.id || '.' || place;
END $$;

-- A new sink. With `from_at` it has also the batches before it that were submitted since then and are kept. One that
-- follows another has what that one has not passed on yet.
CREATE FUNCTION weir.add_feed_sink(feed int4, name text, after_sink int4, from_at timestamptz) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' AS $$
#variable_conflict use_column
DECLARE
  sink int4;
BEGIN
  PERFORM pg_advisory_xact_lock(weir.feed_lock(feed));
  INSERT INTO weir.feed_sink (feed_id, name, after_id) VALUES (feed, add_feed_sink.name, after_sink) RETURNING id INTO sink;
  -- A run's turn begins with the first batch that the sink will have: it would wait for those that it missed.
  INSERT INTO weir.batch_turn (run_id, sink_id, next_idx)
  SELECT r.id, sink,
         CASE WHEN after_sink IS NOT NULL THEN least(b.since, coalesce(a.next_idx, 0)) ELSE coalesce(b.since, b.last + 1, 0) END
    FROM weir.batch_run r
   CROSS JOIN LATERAL (SELECT min(x.idx) FILTER (WHERE x.created_at >= from_at) AS since, max(x.idx) AS last
                         FROM weir.batch x WHERE x.run_at = r.created_at AND x.run_id = r.id) b
    LEFT JOIN weir.batch_turn a ON a.run_id = r.id AND a.sink_id = after_sink
   WHERE r.feed_id = feed
     AND (r.last_idx IS NULL OR b.since IS NOT NULL OR after_sink IS NOT NULL AND coalesce(a.next_idx, 0) <= r.last_idx);
  INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at)
  SELECT sink, r.tenant, r.key, r.id, b.idx, b.run_at
    FROM weir.batch_run r
    JOIN weir.batch_turn t ON t.run_id = r.id AND t.sink_id = sink
    JOIN weir.batch b ON b.run_at = r.created_at AND b.run_id = r.id AND b.idx >= t.next_idx
    LEFT JOIN weir.batch_turn a ON a.run_id = r.id AND a.sink_id = after_sink
   WHERE r.feed_id = feed AND (after_sink IS NULL OR b.idx < coalesce(a.next_idx, 0));
  RETURN sink;
END $$;

INSERT INTO weir.feed (name) VALUES ('default');

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'table', 'weir.' || t, p
    FROM unnest(ARRAY['batch_run', 'batch', 'batch_step', 'batch_turn', 'group_hold', 'batch_attempt']) t,
         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  UNION ALL
  SELECT r, 'table', 'weir.' || t, 'SELECT'
    FROM unnest(ARRAY['feed', 'feed_sink']) t, unnest(ARRAY['weir_worker', 'weir_viewer']) r
  UNION ALL
  SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT'
    FROM unnest(ARRAY['batch_run', 'batch', 'batch_step', 'batch_turn', 'group_hold', 'batch_attempt']) t
  UNION ALL
  SELECT 'weir_worker', 'table', 'weir.feed_sink', p FROM unnest(ARRAY['INSERT', 'UPDATE']) p;
INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['make_batch_days()', 'keep_batch_days()', 'superseded_by(int4, text, text, int8)', 'feed_lock(int4)', 'add_feed_sink(int4, text, int4, timestamptz)']) f
  UNION ALL
  SELECT 'weir_viewer', 'routine', 'weir.superseded_by(int4, text, text, int8)', 'EXECUTE'
  UNION ALL
  SELECT r, 'routine', 'weir.submit_batch(text, text, jsonb, text, int4, bool, text, int8, int8, bool)', 'EXECUTE'
    FROM unnest(ARRAY['weir_worker', 'weir_producer']) r;

SELECT weir.apply_grants();
