-- Groups that have the events of a stream in order: all events with the same key are of one lane, and a lane's events are done one
-- after the other, in the order of their chunks, and within a chunk by (xid, event_id). Many lanes are worked on side by side.
--
-- Such a group has no row for each chunk: each of its lanes has one row, with how far it has come. Who works on a lane holds its row,
-- either by the row's lock (the transaction that does the work) or by a claim of his process (worker_id, claim), as letters are held:
-- unclaim_stream_work puts both back, and finish_stream_claim is the fence. So models/lease.pml covers lanes too: a lane is one more
-- thing that a claim holds, and the row's lock dies with its session.

ALTER TABLE weir.stream_group ADD COLUMN lanes int4 NOT NULL DEFAULT 0 CHECK (lanes BETWEEN 0 AND 256);
COMMENT ON COLUMN weir.stream_group.lanes IS 'In so many lanes its events are kept in order by key; 0: they are not, and weir.stream_work has what is before it.';

CREATE TABLE weir.stream_lane (
  group_id     int4        NOT NULL REFERENCES weir.stream_group ON DELETE CASCADE,
  lane         int4        NOT NULL,
  done_chunk   int8        NOT NULL,
  part_chunk   int8,
  part_xid     int8,
  part_event   int8,
  since        timestamptz,
  since_upto   int8,
  failed_event int8,
  attempt      int2        NOT NULL DEFAULT 0,
  retry_at     timestamptz,
  failed_at    timestamptz,
  error        text,
  worker_id    int8,
  claim        int8,
  taken        int4,
  most         int4,
  killed       int2        NOT NULL DEFAULT 0,
  PRIMARY KEY (group_id, lane)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);
COMMENT ON COLUMN weir.stream_lane.done_chunk IS 'Its events of all chunks up to this one are done.';
COMMENT ON COLUMN weir.stream_lane.part_chunk IS 'Of this chunk, the next one, its events up to (part_xid, part_event) are done.';
COMMENT ON COLUMN weir.stream_lane.since IS 'Of the chunks up to since_upto only the events from this time on: the group was set to it.';
COMMENT ON COLUMN weir.stream_lane.failed_event IS 'It stays at this event, that failed `attempt` times, until retry_at.';
COMMENT ON COLUMN weir.stream_lane.most IS 'Events at a time, while one of them may be the one that kills processes; at 1 its process has nothing else; `killed`: how often it did then.';

-- What is before lanes, by chunk: how many of the group's lanes have not had it, whether or not somebody is at it. Each chunk is looked at
-- with each lane: who asks for those of a time says so by `first_at` and `last_at`.
CREATE VIEW weir.stream_lane_work AS
SELECT g.id AS group_id, g.lanes, k.number AS chunk, b.behind::int4 AS behind, b.since,
       ceil(k.events::numeric * b.behind / g.lanes)::int8 AS events, k.first_at, k.last_at
  FROM weir.stream_group g
 CROSS JOIN LATERAL (SELECT min(l.done_chunk) AS done FROM weir.stream_lane l WHERE l.group_id = g.id) m
  JOIN weir.stream_chunk k ON k.stream_id = g.stream_id AND k.number > m.done
 CROSS JOIN LATERAL (
   SELECT count(*) AS behind, min(CASE WHEN k.number <= l.since_upto AND k.first_at < l.since THEN l.since END) AS since
     FROM weir.stream_lane l
    WHERE l.group_id = g.id AND l.done_chunk < k.number AND NOT coalesce(k.number <= l.since_upto AND k.last_at < l.since, false)) b
 WHERE g.lanes > 0 AND b.behind > 0;

-- A group with lanes, as weir.make_stream_group makes one without. One that is there stays as it is: who asks looks at its lanes.
CREATE FUNCTION weir.make_ordered_stream_group(stream int4, name text, from_at timestamptz, lane_count int4) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id int4 := (SELECT g.id FROM weir.stream_group g WHERE g.stream_id = stream AND g.name = make_ordered_stream_group.name);
BEGIN
  IF new_id IS NOT NULL THEN
    RETURN new_id;
  END IF;
  IF lane_count < 1 THEN
    RAISE EXCEPTION 'a group is kept in order in 1 to 256 lanes, not in %', lane_count USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM weir.lock_stream_past(stream);
  IF from_at IS NULL THEN
    PERFORM weir.lock_stream(stream);
  END IF;
  INSERT INTO weir.stream_group (stream_id, name, lanes) VALUES (stream, make_ordered_stream_group.name, lane_count)
  ON CONFLICT ON CONSTRAINT stream_group_stream_id_name_key DO NOTHING RETURNING id INTO new_id;
  IF new_id IS NULL THEN
    RETURN (SELECT g.id FROM weir.stream_group g WHERE g.stream_id = stream AND g.name = make_ordered_stream_group.name);
  END IF;
  INSERT INTO weir.stream_lane (group_id, lane, done_chunk)
  SELECT new_id, n, weir.last_stream_chunk(stream) FROM generate_series(0, lane_count - 1) n;
  IF from_at IS NOT NULL THEN
    PERFORM weir.seek_stream_group(new_id, from_at);
    -- What is cut meanwhile is before it as it is. From here on nobody cuts who does not see it, and would not wake it.
    PERFORM weir.lock_stream(stream);
  END IF;
  RETURN new_id;
END $$;

CREATE FUNCTION weir.last_stream_chunk(stream int4) RETURNS int8
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.last_chunk FROM weir.stream_cut c WHERE c.stream_id = stream ORDER BY c.number DESC LIMIT 1
$$;

-- As weir.seek_stream_group, under its lock. A lane that somebody is at would go on where it was: then nothing is set. Others cut
-- meanwhile: chunks above `newest` are before all lanes, whatever time they are of.
CREATE FUNCTION weir.seek_stream_lanes(stream int4, of_group int4, from_at timestamptz) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  newest int8 := weir.last_stream_chunk(stream);
  oldest int8;
  chunks int8;
  busy   bool := false;
BEGIN
  BEGIN
    PERFORM FROM weir.stream_lane l WHERE l.group_id = of_group ORDER BY l.lane FOR UPDATE NOWAIT;
  EXCEPTION WHEN lock_not_available THEN
    busy := true;
  END;
  IF busy OR EXISTS (SELECT FROM weir.stream_lane l WHERE l.group_id = of_group AND l.worker_id IS NOT NULL) THEN
    RAISE EXCEPTION 'the group is at work, and is kept in order: it cannot be set to another time meanwhile'
      USING ERRCODE = 'object_in_use', HINT = 'Pause it (weir stream pause), wait until its workers have done what they have at hand, and try again.';
  END IF;
  SELECT min(c.number), count(*) INTO oldest, chunks FROM weir.stream_chunk c
   WHERE c.stream_id = stream AND c.number <= newest AND c.last_at >= from_at AND from_at <> 'infinity';
  UPDATE weir.stream_lane l
     SET done_chunk = coalesce(oldest - 1, newest), part_chunk = NULL, part_xid = NULL, part_event = NULL,
         since = CASE WHEN isfinite(from_at) THEN from_at END, since_upto = CASE WHEN isfinite(from_at) THEN newest END,
         failed_event = NULL, attempt = 0, retry_at = NULL, failed_at = NULL, error = NULL, taken = NULL, most = NULL, killed = 0
   WHERE l.group_id = of_group;
  IF chunks > 0 THEN
    PERFORM weir.wake('stream:' || of_group, 16);
  END IF;
  RETURN chunks;
END $$;

-- As it was in 038_streams_past.sql, but for groups with lanes.
CREATE OR REPLACE FUNCTION weir.seek_stream_group(group_id int4, from_at timestamptz) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream int4 := (SELECT g.stream_id FROM weir.stream_group g WHERE g.id = seek_stream_group.group_id);
BEGIN
  PERFORM weir.lock_stream_past(stream);
  PERFORM weir.refuse_while_dropping(stream, from_at);
  IF EXISTS (SELECT FROM weir.stream_group g WHERE g.id = seek_stream_group.group_id AND g.lanes > 0) THEN
    RETURN weir.seek_stream_lanes(stream, seek_stream_group.group_id, from_at);
  END IF;
  DELETE FROM weir.stream_work w
   WHERE w.ctid = ANY (ARRAY(SELECT k.ctid FROM weir.stream_work k WHERE k.group_id = seek_stream_group.group_id
                                FOR UPDATE SKIP LOCKED));
  RETURN weir.give_stream_chunks(seek_stream_group.group_id, from_at, 0);
END $$;

-- As it was in 020_streams.sql, but for groups with lanes: what is cut is before them without a row.
CREATE OR REPLACE FUNCTION weir.store_stream_cut(stream int4, number int8, ended int8, open int8[], chunks weir.stream_chunk[])
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
  SELECT g.id, before + n FROM weir.stream_group g, generate_series(1, added) n WHERE g.stream_id = stream AND g.lanes = 0;
  DELETE FROM weir.stream_cut c WHERE c.stream_id = stream AND c.number = store_stream_cut.number - 2;
  PERFORM weir.wake('stream:' || g.id, CASE WHEN g.lanes > 0 THEN least(16, g.lanes, 4 * added) ELSE least(16, added) END)
     FROM weir.stream_group g WHERE g.stream_id = stream AND added > 0;
  RETURN before + added;
END $$;

-- As it was in 020_streams.sql, and a claim's lane is free again. Who was lost with many events comes with few the next time, down to a
-- single one, and then alone (claim_stream_lane): a process that dies with that has nothing else that could have killed it. Who was lost
-- with a single event before that was perhaps one of many at hand, or had not been begun.
CREATE OR REPLACE FUNCTION weir.unclaim_stream_work(c weir.stream_claim, lost bool) RETURNS void
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
  UPDATE weir.stream_lane l
     SET worker_id = NULL, claim = NULL, killed = l.killed + (lost AND l.most IS NOT DISTINCT FROM 1)::int4,
         most = CASE WHEN lost THEN greatest(1, l.taken / 8) ELSE l.most END
   WHERE l.group_id = c.group_id AND l.worker_id = c.worker_id AND l.claim = c.number;
  UPDATE weir.stream_letter l
     SET worker_id = NULL, claim = NULL, attempt = l.attempt + lost::int4, alone = l.alone OR lost,
         failed_at = CASE WHEN lost THEN clock_timestamp() ELSE l.failed_at END,
         next_at = CASE WHEN lost AND l.alone AND l.attempt + 1 >= least(g.max_attempts, 5) THEN NULL ELSE l.next_at END,
         error = CASE WHEN lost THEN 'the process that had it died' ELSE l.error END
    FROM weir.stream_group g
   WHERE l.worker_id = c.worker_id AND l.claim = c.number AND g.id = l.group_id;
  PERFORM weir.wake('stream:' || c.group_id);
END $$;

-- As it was in 020_streams.sql; but no event of a lane is suspected of what the server did not accept, a full disk perhaps. The lane rests
-- for a moment, for it would come again at once.
CREATE OR REPLACE FUNCTION weir.give_up_stream_claim(process int8, claim int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c weir.stream_claim;
BEGIN
  SELECT * INTO c FROM weir.stream_claim k WHERE k.worker_id = process AND k.number = give_up_stream_claim.claim FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE weir.stream_lane l SET retry_at = clock_timestamp() + interval '10 s'
   WHERE l.group_id = c.group_id AND l.worker_id = c.worker_id AND l.claim = c.number;
  PERFORM weir.unclaim_stream_work(c, NOT FOUND);
  RETURN true;
END $$;

-- As it was in 020_streams.sql, and lanes lose their part. Of chunks with events of other times too it is counted, of the others it is
-- reckoned: the events of a chunk are spread over the lanes. Nobody waits for who is at one in a transaction: what he still has of it is
-- counted all the same.
CREATE OR REPLACE FUNCTION weir.forget_stream_partition(stream int4, partition text, from_at timestamptz, to_at timestamptz) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s     weir.stream := (SELECT t FROM weir.stream t WHERE t.id = stream);
  pair  record;
  c     weir.stream_chunk;
  here  int8;
  total int8;
BEGIN
  -- It was counted when its detach was begun, which has not come to an end; nobody was given any of it since.
  IF EXISTS (SELECT FROM weir.stream_detached d
              WHERE d.stream_id = stream AND d.table_name = partition
                AND d.table_id = to_regclass(format('%I.%I', s.schema_name, partition))) THEN
    RETURN 0;
  END IF;
  WITH gone AS (
    DELETE FROM weir.stream_work w USING weir.stream_group g, weir.stream_chunk k
     WHERE g.id = w.group_id AND g.stream_id = stream AND k.stream_id = stream AND k.number = w.chunk
       AND k.first_at >= from_at AND k.last_at < to_at AND w.since IS NULL
    RETURNING w.group_id, k.events
  ), missed AS (
    SELECT o.group_id, o.events FROM gone o
    UNION ALL
    SELECT v.group_id, v.events FROM weir.stream_group g JOIN weir.stream_lane_work v ON v.group_id = g.id
     WHERE g.stream_id = stream AND v.first_at >= from_at AND v.last_at < to_at AND v.since IS NULL
  ), lost AS (
    UPDATE weir.stream_group g SET lost_events = g.lost_events + t.events
      FROM (SELECT o.group_id, sum(o.events) AS events FROM missed o GROUP BY o.group_id) t WHERE g.id = t.group_id
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
  FOR pair IN
    SELECT v.group_id, v.lanes, v.since, k AS chunk FROM weir.stream_group g JOIN weir.stream_lane_work v ON v.group_id = g.id
           JOIN weir.stream_chunk k ON k.stream_id = g.stream_id AND k.number = v.chunk
     WHERE g.stream_id = stream AND v.first_at < to_at AND v.last_at >= from_at AND coalesce(v.since < to_at, true)
       AND (v.first_at < from_at OR v.last_at >= to_at OR v.since IS NOT NULL)
  LOOP
    c := pair.chunk;
    c.first_at := greatest(c.first_at, pair.since);
    EXECUTE format('SELECT count(*) FROM %I.%I e JOIN weir.stream_lane l ON l.group_id = $1 AND l.lane = %s
                     WHERE l.done_chunk < $2 AND %s',
                   s.schema_name, partition, weir.stream_lane_text(s, pair.lanes), weir.stream_chunk_filter(s, c))
       INTO here USING pair.group_id, c.number;
    UPDATE weir.stream_group g SET lost_events = g.lost_events + here WHERE g.id = pair.group_id AND here > 0;
    total := total + here;
  END LOOP;
  RETURN total;
END $$;

-- The lane of an event, as SQL on an alias e. By the bytes of the key, whatever its collation. The same is in stream_sql.cc.
CREATE FUNCTION weir.stream_lane_text(s weir.stream, lane_count int4) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('abs(hashtextextended(coalesce(%s, '''') COLLATE "C", 0) %% %s)',
                CASE WHEN s.key_column IS NULL THEN 'NULL::text' ELSE format('e.%I::text', s.key_column) END, lane_count)
$$;

-- As it was in 038_streams_past.sql, but for lanes: what one of them has not had is left as it is.
CREATE OR REPLACE FUNCTION weir.merge_stream_chunks(stream int4, above int8, most int4, OUT merged int8, OUT next int8)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  size int8 := (SELECT s.chunk_events FROM weir.stream s WHERE s.id = stream);
  busy int8[];
  place int4 := 1;  -- in `busy`: of the chunk at hand, or behind it
  free bool;
  all_ weir.stream_chunk[];
  last int8;
  done int8;
  c    weir.stream_chunk;
  run  weir.stream_chunk;
  grown bool := false;
  gone int8[] := '{}';
BEGIN
  merged := 0;
  next := above;
  IF NOT weir.try_lock_stream_past(stream) THEN
    RETURN;
  END IF;
  PERFORM weir.lock_stream(stream);
  -- Lanes go back under lock_stream_past() alone.
  SELECT min(l.done_chunk) INTO done FROM weir.stream_group g JOIN weir.stream_lane l ON l.group_id = g.id WHERE g.stream_id = stream;
  all_ := ARRAY(SELECT k FROM weir.stream_chunk k
                 WHERE k.stream_id = stream AND k.number > above AND k.number <= coalesce(done, 9223372036854775807)
                   AND k.cut_at < clock_timestamp() - interval '1 min'
                 ORDER BY k.number LIMIT most);
  last := (all_[cardinality(all_)]).number;
  -- Once each, and in the order of `all_`. OFFSET 0: a range of each group's work, whatever the planner thinks of the table.
  busy := ARRAY(SELECT w.chunk FROM weir.stream_group g
                 CROSS JOIN LATERAL (SELECT o.chunk FROM weir.stream_work o
                                      WHERE o.group_id = g.id AND o.chunk > above AND o.chunk <= last OFFSET 0) w
                 WHERE g.stream_id = stream
                UNION
                SELECT w.chunk FROM weir.stream_group g JOIN weir.stream_claim k ON k.group_id = g.id CROSS JOIN unnest(k.work) w
                 WHERE g.stream_id = stream AND w.chunk > above AND w.chunk <= last
                ORDER BY 1);
  FOREACH c IN ARRAY all_ LOOP
    WHILE busy[place] < c.number LOOP
      place := place + 1;
    END LOOP;
    free := busy[place] IS DISTINCT FROM c.number;
    IF run.number IS NOT NULL AND run.to_xid = c.from_xid AND c.last_event IS NULL AND run.events + c.events <= size
       AND greatest(run.last_at, c.last_at) - least(run.first_at, c.first_at) <= interval '1 h' AND free THEN
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
    IF c.last_event IS NULL AND c.events < size AND isfinite(c.first_at) AND isfinite(c.last_at) AND free THEN
      run := c;
    END IF;
  END LOOP;
  IF grown THEN
    PERFORM weir.store_merged_chunk(run);
  END IF;
  DELETE FROM weir.stream_chunk k WHERE k.stream_id = stream AND k.number = ANY (gone);
  merged := cardinality(gone);
  next := CASE WHEN cardinality(all_) = most THEN last END;
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
SELECT 'weir_worker', 'table', 'weir.stream_lane', p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p;
INSERT INTO weir.role_grant (role, kind, object, privilege) VALUES
  ('weir_viewer', 'table', 'weir.stream_lane', 'SELECT'),
  ('weir_viewer', 'table', 'weir.stream_lane_work', 'SELECT'),
  ('weir_worker', 'table', 'weir.stream_lane_work', 'SELECT'),
  ('weir_worker', 'routine', 'weir.make_ordered_stream_group(int4, text, timestamptz, int4)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.last_stream_chunk(int4)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.seek_stream_lanes(int4, int4, timestamptz)', 'EXECUTE'),
  ('weir_worker', 'routine', 'weir.stream_lane_text(weir.stream, int4)', 'EXECUTE');

SELECT weir.apply_grants();
