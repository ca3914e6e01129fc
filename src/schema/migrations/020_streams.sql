-- Streams. A stream is a table of its own, partitioned by time, that anybody may INSERT or COPY into; it is written once
-- and never updated. Who consumes it writes nothing per event: what has been committed is cut into chunks, and a chunk
-- is one row here for each group that has it before it.
--
--   the stream   xid, event_id, at, key, payload     made by its producers, in their own transactions
--   stream_cut   up to where it was cut              one row a cut, the last one counts
--   stream_chunk which events a chunk has            kept as long as its events
--   stream_work  a chunk that a group has before it  gone when the group is done with it
--   stream_claim chunks that a process has           under a lease; out of stream_work meanwhile
--   stream_letter an event that a group failed on    a copy, tried again by itself, or dead
--
-- Why chunks are cut by transactions and not by ids of events: docs/decisions/0013.

CREATE TABLE weir.stream (
  id           int4        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name         text        NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 200),
  schema_name  text        NOT NULL,
  table_name   text        NOT NULL,
  adopted      bool        NOT NULL DEFAULT false,
  xid_column   text        NOT NULL DEFAULT 'xid',
  id_column    text        NOT NULL DEFAULT 'event_id',
  at_column    text        NOT NULL DEFAULT 'at',
  key_column     text      DEFAULT 'key',
  payload_column text      DEFAULT 'payload',
  chunk_events int4        NOT NULL DEFAULT 1000 CHECK (chunk_events BETWEEN 1 AND 10000),
  span_ms      int8        CHECK (span_ms > 0),
  ahead        int4        NOT NULL DEFAULT 3 CHECK (ahead BETWEEN 1 AND 1000),
  retain_ms    int8        CHECK (retain_ms > 0),
  retain_bytes int8        CHECK (retain_bytes > 0),
  hold_ms      int8        NOT NULL DEFAULT 7 * 86400000 CHECK (hold_ms >= 0),
  server_id    int8        NOT NULL,
  shift        int8        NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (schema_name, table_name)
);
COMMENT ON COLUMN weir.stream.payload_column IS 'Of what handlers are given; null: the whole row.';
COMMENT ON COLUMN weir.stream.span_ms IS 'The time that a partition covers; null where the partitions are somebody else''s.';
COMMENT ON COLUMN weir.stream.hold_ms IS 'How long a group that does not get on may hold up retention; then it loses events, and that is told.';
COMMENT ON COLUMN weir.stream.server_id IS 'pg_control_system(): the numbers of transactions are those of this server, plus shift.';

CREATE TABLE weir.stream_cut (
  stream_id  int4        NOT NULL REFERENCES weir.stream ON DELETE CASCADE,
  number     int8        NOT NULL,
  ended      int8        NOT NULL,
  open       int8[]      NOT NULL,
  last_chunk int8        NOT NULL,
  events     int8        NOT NULL,
  cut_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  written    xid8        NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (stream_id, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, vacuum_truncate = off);
COMMENT ON COLUMN weir.stream_cut.written IS 'The row''s own transaction: where its header says another one, a dump brought it here.';
COMMENT ON TABLE weir.stream_cut IS 'All transactions below `ended` are cut, but for those in `open`. The number makes sure that nothing is cut twice.';

CREATE TABLE weir.stream_chunk (
  stream_id   int4        NOT NULL REFERENCES weir.stream ON DELETE CASCADE,
  number      int8        NOT NULL,
  from_xid    int8        NOT NULL,
  to_xid      int8        NOT NULL,
  after_event int8,
  last_event  int8,
  events      int8        NOT NULL,
  first_at    timestamptz NOT NULL,
  last_at     timestamptz NOT NULL,
  cut_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  open        int8[]      NOT NULL,
  late        int8[]      NOT NULL,
  PRIMARY KEY (stream_id, number)
);

CREATE TABLE weir.stream_group (
  id           int4        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream_id    int4        NOT NULL REFERENCES weir.stream ON DELETE CASCADE,
  paused       bool        NOT NULL DEFAULT false,
  max_attempts int2        NOT NULL DEFAULT 25 CHECK (max_attempts > 0),
  backoff_ms     int8      NOT NULL DEFAULT 1000 CHECK (backoff_ms >= 0),
  backoff_cap_ms int8      NOT NULL DEFAULT 3600000 CHECK (backoff_cap_ms >= backoff_ms),
  lost_events  int8        NOT NULL DEFAULT 0,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  name         text        NOT NULL CHECK (name <> '' AND length(name) <= 200),
  UNIQUE (stream_id, name)
);
COMMENT ON COLUMN weir.stream_group.lost_events IS 'Events that retention took away before the group had them (stream.hold_ms).';

CREATE TABLE weir.stream_work (
  group_id int4        NOT NULL REFERENCES weir.stream_group ON DELETE CASCADE,
  chunk    int8        NOT NULL,
  attempt  int2        NOT NULL DEFAULT 0,
  since    timestamptz,
  PRIMARY KEY (group_id, chunk)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
COMMENT ON COLUMN weir.stream_work.since IS 'Only the events from this time on: the group was set to a time within the chunk.';

CREATE TABLE weir.stream_letter (
  id        int8        GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  group_id  int4        NOT NULL REFERENCES weir.stream_group ON DELETE CASCADE,
  attempt   int2        NOT NULL,
  alone     bool        NOT NULL DEFAULT false,
  worker_id int8,
  claim     int8,
  next_at   timestamptz,
  event_id  int8        NOT NULL,
  at        timestamptz NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  event     jsonb       NOT NULL,
  error     text        NOT NULL
);
CREATE INDEX stream_letter_due ON weir.stream_letter (group_id, next_at) WHERE next_at IS NOT NULL AND worker_id IS NULL;
CREATE INDEX stream_letter_claim ON weir.stream_letter (worker_id, claim) WHERE worker_id IS NOT NULL;
CREATE INDEX stream_letter_dead ON weir.stream_letter (group_id, id) WHERE next_at IS NULL;
COMMENT ON TABLE weir.stream_letter IS 'Events that a group failed on, as they were: the stream may be gone before they are done. With next_at they are tried again then; without they are dead.';
COMMENT ON COLUMN weir.stream_letter.alone IS 'Its process died with it: it is not tried together with others again.';

-- What a process has under its lease, and who has letters. Its work is nowhere else meanwhile.
CREATE TABLE weir.stream_claim (
  worker_id  int8               NOT NULL,
  number     int8               NOT NULL,
  group_id   int4               NOT NULL REFERENCES weir.stream_group ON DELETE CASCADE,
  claimed_at timestamptz        NOT NULL DEFAULT clock_timestamp(),
  work       weir.stream_work[] NOT NULL,
  PRIMARY KEY (worker_id, number)
) WITH (vacuum_truncate = off);

-- Partitions that are on their way out: who dies in the middle of it leaves them for the next one.
CREATE TABLE weir.stream_detached (
  stream_id  int4        NOT NULL REFERENCES weir.stream ON DELETE CASCADE,
  table_name text        NOT NULL,
  table_id   oid         NOT NULL,
  from_at    timestamptz NOT NULL,
  to_at      timestamptz NOT NULL,
  in_spite   bool        NOT NULL,
  PRIMARY KEY (stream_id, table_name)
);
COMMENT ON COLUMN weir.stream_detached.in_spite IS 'Of groups that have not had its events yet.';

-- A stream's rows are never changed: a changed one would be at another place than its chunk says.
CREATE FUNCTION weir.refuse_stream_update() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% is a stream: its events are not updated', TG_RELID::regclass
    USING ERRCODE = 'feature_not_supported', HINT = 'Add an event that says what changed.';
END $$;

-- A partition that is on its way out takes nothing more: whoever would write to it after it was looked at would be lost with it.
CREATE FUNCTION weir.refuse_late_event() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the event is too old: % is past the time for which its stream is kept', TG_RELID::regclass
    USING ERRCODE = 'check_violation';
END $$;

-- One at a time of: a cut, a new group, a group that is set to another time, chunks that are forgotten.
CREATE FUNCTION weir.lock_stream(stream int4) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('weir.stream:' || stream, 0))
$$;

-- Writes a cut: the horizon, its chunks (numbers follow the last ones) and the work of each group. Who comes second with the
-- same number fails on it. Answers the last chunk.
CREATE FUNCTION weir.store_stream_cut(stream int4, number int8, ended int8, open int8[], chunks weir.stream_chunk[])
RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  before int8;
  added  int4 := cardinality(chunks);
BEGIN
  -- Against a group that is just being made: it begins before these chunks or behind them.
  PERFORM weir.lock_stream(stream);
  SELECT c.last_chunk INTO STRICT before FROM weir.stream_cut c
   WHERE c.stream_id = stream AND c.number = store_stream_cut.number - 1;
  INSERT INTO weir.stream_cut (stream_id, number, ended, open, last_chunk, events)
  SELECT stream, store_stream_cut.number, store_stream_cut.ended, store_stream_cut.open, before + added, coalesce(sum(c.events), 0)
    FROM unnest(chunks) c;
  INSERT INTO weir.stream_chunk (stream_id, number, from_xid, to_xid, after_event, last_event, events, first_at, last_at, open, late)
  SELECT stream, before + n, c.from_xid, c.to_xid, c.after_event, c.last_event, c.events, c.first_at, c.last_at, c.open, c.late
    FROM unnest(chunks) WITH ORDINALITY c(stream_id, number, from_xid, to_xid, after_event, last_event, events, first_at, last_at,
                                          cut_at, open, late, n);
  INSERT INTO weir.stream_work (group_id, chunk)
  SELECT g.id, before + n FROM weir.stream_group g, generate_series(1, added) n WHERE g.stream_id = stream;
  DELETE FROM weir.stream_cut c WHERE c.stream_id = stream AND c.number = store_stream_cut.number - 2;
  PERFORM weir.wake('stream:' || g.id, least(16, added)) FROM weir.stream_group g WHERE g.stream_id = stream AND added > 0;
  RETURN before + added;
END $$;

-- A group of a stream; what is there already is not before it unless `from_at` says so.
CREATE FUNCTION weir.make_stream_group(stream int4, name text, from_at timestamptz) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id int4 := (SELECT g.id FROM weir.stream_group g WHERE g.stream_id = stream AND g.name = make_stream_group.name);
BEGIN
  IF new_id IS NOT NULL THEN
    RETURN new_id;
  END IF;
  PERFORM weir.lock_stream(stream);
  INSERT INTO weir.stream_group (stream_id, name) VALUES (stream, make_stream_group.name)
  ON CONFLICT ON CONSTRAINT stream_group_stream_id_name_key DO NOTHING RETURNING id INTO new_id;
  IF new_id IS NULL THEN
    RETURN (SELECT g.id FROM weir.stream_group g WHERE g.stream_id = stream AND g.name = make_stream_group.name);
  END IF;
  IF from_at IS NOT NULL THEN
    PERFORM weir.seek_stream_group(new_id, from_at);
  END IF;
  RETURN new_id;
END $$;

-- The events of a partition on its way out are not there to be read: a chunk with them would be taken for done.
CREATE FUNCTION weir.refuse_while_dropping(stream int4, from_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  until timestamptz := (SELECT max(d.to_at) FROM weir.stream_detached d WHERE d.stream_id = stream AND d.to_at > refuse_while_dropping.from_at);
BEGIN
  IF until IS NOT NULL THEN
    RAISE EXCEPTION 'events before % are being dropped just now', until
      USING ERRCODE = 'object_in_use', HINT = 'Begin behind them, or try again in a minute.';
  END IF;
END $$;

-- What is before a group from now on: the events from a time on ('-infinity': all there are, 'infinity': none). Answers
-- how many chunks that is. What somebody has at hand is not touched, and nobody waits for it.
CREATE FUNCTION weir.seek_stream_group(group_id int4, from_at timestamptz) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream int4 := (SELECT g.stream_id FROM weir.stream_group g WHERE g.id = seek_stream_group.group_id);
  count  int8;
BEGIN
  PERFORM weir.lock_stream(stream);
  PERFORM weir.refuse_while_dropping(stream, from_at);
  DELETE FROM weir.stream_work w
   WHERE w.ctid = ANY (ARRAY(SELECT k.ctid FROM weir.stream_work k WHERE k.group_id = seek_stream_group.group_id
                                FOR UPDATE SKIP LOCKED));
  INSERT INTO weir.stream_work (group_id, chunk, since)
  SELECT seek_stream_group.group_id, c.number, CASE WHEN c.first_at < from_at THEN from_at END
    FROM weir.stream_chunk c
   WHERE c.stream_id = stream AND c.last_at >= from_at
     AND NOT EXISTS (SELECT FROM weir.stream_work w WHERE w.group_id = seek_stream_group.group_id AND w.chunk = c.number)
     AND NOT EXISTS (SELECT FROM weir.stream_claim k, unnest(k.work) w
                      WHERE k.group_id = seek_stream_group.group_id AND w.chunk = c.number)
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS count = ROW_COUNT;
  IF count > 0 THEN
    PERFORM weir.wake('stream:' || seek_stream_group.group_id, least(16, count)::int4);
  END IF;
  RETURN count;
END $$;

-- Of a chunk: which of a stream's events, as SQL on an alias e.
CREATE FUNCTION weir.stream_chunk_filter(s weir.stream, c weir.stream_chunk) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('e.%1$I BETWEEN %2$L AND %3$L AND ', s.at_column, c.first_at, c.last_at)
         || CASE WHEN c.last_event IS NOT NULL
                 THEN format('e.%1$I = %2$L AND e.%3$I > %4$s AND e.%3$I <= %5$s', s.xid_column, c.from_xid, s.id_column, c.after_event, c.last_event)
                 ELSE format('(e.%1$I >= %2$L AND e.%1$I < %3$L AND e.%1$I <> ALL (%4$L::xid8[]) OR e.%1$I = ANY (%5$L::xid8[]))', s.xid_column, c.from_xid,
                             c.to_xid, c.open::text, c.late::text) END
$$;

-- A chunk whose processes died becomes letters, one for each event: each is tried alone then, and the one that kills is found.
CREATE FUNCTION weir.scatter_stream_work(w weir.stream_work) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s weir.stream;
  c weir.stream_chunk;
BEGIN
  SELECT t.* INTO STRICT s FROM weir.stream t JOIN weir.stream_group g ON g.stream_id = t.id WHERE g.id = w.group_id;
  SELECT k.* INTO c FROM weir.stream_chunk k WHERE k.stream_id = s.id AND k.number = w.chunk;
  IF NOT FOUND THEN
    RETURN;  -- retention was faster
  END IF;
  c.first_at := greatest(c.first_at, w.since);
  EXECUTE format('INSERT INTO weir.stream_letter (group_id, attempt, alone, next_at, event_id, at, event, error)
                  SELECT $1, 0, true, clock_timestamp(), e.%1$I, e.%2$I, to_jsonb(e.*), $2 FROM %3$I.%4$I e WHERE %5$s',
                 s.id_column, s.at_column, s.schema_name, s.table_name, weir.stream_chunk_filter(s, c))
    USING w.group_id, 'one of the events of its chunk kills processes';
END $$;

-- Puts a claim's work back to where others find it. `lost`: it was begun, and its process is gone.
CREATE FUNCTION weir.unclaim_stream_work(c weir.stream_claim, lost bool) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  w weir.stream_work;
BEGIN
  DELETE FROM weir.stream_claim k WHERE k.worker_id = c.worker_id AND k.number = c.number;
  FOREACH w IN ARRAY c.work LOOP
    w.attempt := w.attempt + lost::int4;
    IF w.attempt > 2 THEN
      BEGIN
        PERFORM weir.scatter_stream_work(w);
        CONTINUE;
      EXCEPTION WHEN insufficient_privilege OR undefined_table THEN
        RAISE WARNING 'a chunk that processes die of cannot be divided: %', SQLERRM;
      END;
    END IF;
    INSERT INTO weir.stream_work SELECT (w).* ON CONFLICT DO NOTHING;  -- set back meanwhile, it is there already
  END LOOP;
  UPDATE weir.stream_letter l
     SET worker_id = NULL, claim = NULL, attempt = l.attempt + lost::int4, alone = l.alone OR lost,
         failed_at = CASE WHEN lost THEN clock_timestamp() ELSE l.failed_at END,
         next_at = CASE WHEN lost AND l.alone AND l.attempt + 1 >= least(g.max_attempts, 5) THEN NULL ELSE l.next_at END,
         error = CASE WHEN lost THEN 'the process that had it died' ELSE l.error END
    FROM weir.stream_group g
   WHERE l.worker_id = c.worker_id AND l.claim = c.number AND g.id = l.group_id;
  PERFORM weir.wake('stream:' || c.group_id);
END $$;

-- What the groups lose with a partition that is going to be dropped. Their chunks that are nowhere else are theirs no more; of
-- the others they get what is left.
CREATE FUNCTION weir.forget_stream_partition(stream int4, partition text, from_at timestamptz, to_at timestamptz) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s     weir.stream := (SELECT t FROM weir.stream t WHERE t.id = stream);
  pair  record;
  c     weir.stream_chunk;
  here  int8;
  total int8;
BEGIN
  WITH gone AS (
    DELETE FROM weir.stream_work w USING weir.stream_group g, weir.stream_chunk k
     WHERE g.id = w.group_id AND g.stream_id = stream AND k.stream_id = stream AND k.number = w.chunk
       AND k.first_at >= from_at AND k.last_at < to_at AND w.since IS NULL
    RETURNING w.group_id, k.events
  ), lost AS (
    UPDATE weir.stream_group g SET lost_events = g.lost_events + t.events
      FROM (SELECT o.group_id, sum(o.events) AS events FROM gone o GROUP BY o.group_id) t WHERE g.id = t.group_id
    RETURNING t.events
  )
  SELECT coalesce(sum(l.events), 0) INTO total FROM lost l;
  -- A chunk that has events of other times too, or of which a part is wanted: few are.
  FOR pair IN
    SELECT w.group_id, w.chunk AS number, w.since, k AS chunk FROM weir.stream_work w JOIN weir.stream_group g ON g.id = w.group_id
           JOIN weir.stream_chunk k ON k.stream_id = g.stream_id AND k.number = w.chunk
     WHERE g.stream_id = stream AND k.first_at < to_at AND k.last_at >= from_at AND coalesce(w.since < to_at, true)
  LOOP
    c := pair.chunk;
    c.first_at := greatest(c.first_at, pair.since);
    EXECUTE format('SELECT count(*) FROM %I.%I e WHERE %s', s.schema_name, partition, weir.stream_chunk_filter(s, c)) INTO here;
    UPDATE weir.stream_group g SET lost_events = g.lost_events + here WHERE g.id = pair.group_id AND here > 0;
    total := total + here;
    IF c.first_at >= from_at AND c.last_at < to_at THEN
      DELETE FROM weir.stream_work w WHERE w.group_id = pair.group_id AND w.chunk = pair.number;
    END IF;
  END LOOP;
  RETURN total;
END $$;

-- Neighbouring small chunks of about the same time that everybody is done with become one: a stream that trickles is cut often,
-- and keeps its chunks as long as its events. Looks at `most` of them above a number; answers how many are gone, and where
-- to go on (null: there are no more).
CREATE FUNCTION weir.merge_stream_chunks(stream int4, above int8, most int4, OUT merged int8, OUT next int8)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  size int8 := (SELECT s.chunk_events FROM weir.stream s WHERE s.id = stream);
  busy int8[];
  all_ weir.stream_chunk[];
  c    weir.stream_chunk;
  run  weir.stream_chunk;
  grown bool := false;
  gone int8[] := '{}';
BEGIN
  PERFORM weir.lock_stream(stream);
  all_ := ARRAY(SELECT k FROM weir.stream_chunk k
                 WHERE k.stream_id = stream AND k.number > above AND k.cut_at < clock_timestamp() - interval '1 min'
                 ORDER BY k.number LIMIT most);
  busy := ARRAY(SELECT w.chunk FROM weir.stream_work w JOIN weir.stream_group g ON g.id = w.group_id
                 WHERE g.stream_id = stream AND w.chunk > above
                UNION ALL
                SELECT w.chunk FROM weir.stream_claim k JOIN weir.stream_group g ON g.id = k.group_id CROSS JOIN unnest(k.work) w
                 WHERE g.stream_id = stream);
  FOREACH c IN ARRAY all_ LOOP
    IF run.number IS NOT NULL AND run.to_xid = c.from_xid AND c.last_event IS NULL AND run.events + c.events <= size
       AND greatest(run.last_at, c.last_at) - least(run.first_at, c.first_at) <= interval '1 h' AND c.number <> ALL (busy) THEN
      run.to_xid := c.to_xid;
      run.events := run.events + c.events;
      run.first_at := least(run.first_at, c.first_at);
      run.last_at := greatest(run.last_at, c.last_at);
      run.open := run.open || c.open;
      run.late := run.late || c.late;
      gone := gone || c.number;
      grown := true;
      CONTINUE;
    END IF;
    IF grown THEN
      PERFORM weir.store_merged_chunk(run);
    END IF;
    grown := false;
    run := NULL;
    IF c.last_event IS NULL AND c.events < size AND isfinite(c.first_at) AND isfinite(c.last_at) AND c.number <> ALL (busy) THEN
      run := c;
    END IF;
  END LOOP;
  IF grown THEN
    PERFORM weir.store_merged_chunk(run);
  END IF;
  DELETE FROM weir.stream_chunk k WHERE k.stream_id = stream AND k.number = ANY (gone);
  merged := cardinality(gone);
  next := CASE WHEN cardinality(all_) = most THEN (all_[most]).number END;
END $$;

CREATE FUNCTION weir.store_merged_chunk(c weir.stream_chunk) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE weir.stream_chunk k
     SET to_xid = c.to_xid, events = c.events, first_at = c.first_at, last_at = c.last_at, open = c.open, late = c.late
   WHERE k.stream_id = c.stream_id AND k.number = c.number
$$;

-- What a claim took whose answer did not come, or makes sure that it never takes anything (as weir.return_job_claim).
CREATE FUNCTION weir.return_stream_claim(process int8, claim int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM weir.process p WHERE p.id = process FOR UPDATE;
  UPDATE weir.process p SET first_claim = claim + 1 WHERE p.id = process AND p.first_claim <= claim;
  PERFORM weir.unclaim_stream_work(k, false) FROM weir.stream_claim k WHERE k.worker_id = process AND k.number = claim;
  RETURN FOUND;
END $$;

CREATE FUNCTION weir.rescue_stream_claims() RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c       weir.stream_claim;
  rescued int8 := 0;
BEGIN
  FOR c IN
    SELECT * FROM weir.stream_claim k
     WHERE NOT EXISTS (SELECT FROM weir.process p WHERE p.id = k.worker_id AND NOT p.dead)
     ORDER BY k.worker_id, k.number LIMIT 100 FOR UPDATE SKIP LOCKED
  LOOP
    PERFORM weir.unclaim_stream_work(c, true);
    rescued := rescued + 1;
  END LOOP;
  RETURN rescued;
END $$;

-- A claim whose end the server does not accept: as if its process had died.
CREATE FUNCTION weir.give_up_stream_claim(process int8, claim int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM weir.unclaim_stream_work(k, true) FROM weir.stream_claim k WHERE k.worker_id = process AND k.number = claim;
  RETURN FOUND;
END $$;

-- A chunk that transactions fail on as a whole, again and again. Answers whether it was there.
CREATE FUNCTION weir.scatter_stuck_chunk(group_id int4, chunk int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  w weir.stream_work;
BEGIN
  SELECT * INTO w FROM weir.stream_work k
   WHERE k.group_id = scatter_stuck_chunk.group_id AND k.chunk = scatter_stuck_chunk.chunk FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  PERFORM weir.scatter_stream_work(w);
  DELETE FROM weir.stream_work k WHERE k.group_id = w.group_id AND k.chunk = w.chunk;
  RETURN true;
END $$;

-- Whoever may change what a stream is, or which of its partitions go, may have its owner drop any table: not a worker.
INSERT INTO weir.role_grant (role, kind, object, privilege)
SELECT 'weir_worker', 'table', 'weir.' || t, p
  FROM unnest(ARRAY['stream_cut', 'stream_chunk', 'stream_group', 'stream_work', 'stream_claim', 'stream_letter']) t,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p;
INSERT INTO weir.role_grant (role, kind, object, privilege)
SELECT r, 'table', 'weir.' || t, 'SELECT'
  FROM unnest(ARRAY['stream', 'stream_detached']) t, unnest(ARRAY['weir_worker', 'weir_viewer']) r;
INSERT INTO weir.role_grant (role, kind, object, privilege)
SELECT 'weir_viewer', 'table', 'weir.' || t, 'SELECT'
  FROM unnest(ARRAY['stream_cut', 'stream_chunk', 'stream_group', 'stream_work', 'stream_claim', 'stream_letter']) t;
INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_worker', 'routine', 'weir.store_stream_cut(int4, int8, int8, int8[], weir.stream_chunk[])', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.make_stream_group(int4, text, timestamptz)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.seek_stream_group(int4, timestamptz)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.unclaim_stream_work(weir.stream_claim, bool)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.scatter_stream_work(weir.stream_work)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.stream_chunk_filter(weir.stream, weir.stream_chunk)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.return_stream_claim(int8, int8)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.forget_stream_partition(int4, text, timestamptz, timestamptz)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.rescue_stream_claims()', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.give_up_stream_claim(int8, int8)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.scatter_stuck_chunk(int4, int8)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.merge_stream_chunks(int4, int8, int4)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.store_merged_chunk(weir.stream_chunk)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.refuse_while_dropping(int4, timestamptz)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.lock_stream(int4)', 'EXECUTE');

SELECT weir.apply_grants();
