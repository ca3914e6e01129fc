-- Streams: a group that is set to another time, or begins in the past, holds no cut up while it is given its chunks. With a million
-- of them that takes many seconds, in which no group of the stream was given anything new.

-- One at a time of what must not happen while a group is given chunks that are there (seek, replay, a new group): another one that
-- is, a group that goes, chunks that are merged or forgotten, a partition that begins to go. Not a cut: its chunks are before each
-- group that is there when it commits, and whoever does not see the chunks does not see that either. Who needs weir.lock_stream()
-- too takes this one first, so that nobody waits for it while others cannot cut.
CREATE FUNCTION weir.lock_stream_past(stream int4) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_advisory_xact_lock(hashtextextended('weir.stream_past:' || stream, 0))
$$;

CREATE FUNCTION weir.try_lock_stream_past(stream int4) RETURNS bool
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_try_advisory_xact_lock(hashtextextended('weir.stream_past:' || stream, 0))
$$;

-- Puts the chunks above a number before a group that have events from a time on, but for those that it has already. Answers how
-- many these are.
CREATE FUNCTION weir.give_stream_chunks(group_id int4, from_at timestamptz, above int8) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream int4 := (SELECT g.stream_id FROM weir.stream_group g WHERE g.id = give_stream_chunks.group_id);
  count  int8;
BEGIN
  INSERT INTO weir.stream_work (group_id, chunk, since)
  SELECT give_stream_chunks.group_id, c.number, CASE WHEN c.first_at < from_at THEN from_at END
    FROM weir.stream_chunk c
   WHERE c.stream_id = stream AND c.number > above AND c.last_at >= from_at
     AND NOT EXISTS (SELECT FROM weir.stream_work w WHERE w.group_id = give_stream_chunks.group_id AND w.chunk = c.number)
     AND NOT EXISTS (SELECT FROM weir.stream_claim k, unnest(k.work) w
                      WHERE k.group_id = give_stream_chunks.group_id AND w.chunk = c.number)
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS count = ROW_COUNT;
  IF count > 0 THEN
    PERFORM weir.wake('stream:' || give_stream_chunks.group_id, least(16, count)::int4);
  END IF;
  RETURN count;
END $$;

-- As it was, but for its lock.
CREATE OR REPLACE FUNCTION weir.seek_stream_group(group_id int4, from_at timestamptz) RETURNS int8
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stream int4 := (SELECT g.stream_id FROM weir.stream_group g WHERE g.id = seek_stream_group.group_id);
BEGIN
  PERFORM weir.lock_stream_past(stream);
  PERFORM weir.refuse_while_dropping(stream, from_at);
  DELETE FROM weir.stream_work w
   WHERE w.ctid = ANY (ARRAY(SELECT k.ctid FROM weir.stream_work k WHERE k.group_id = seek_stream_group.group_id
                                FOR UPDATE SKIP LOCKED));
  RETURN weir.give_stream_chunks(seek_stream_group.group_id, from_at, 0);
END $$;

-- As it was; but who begins in the past is given that while others cut, and then what they have cut.
CREATE OR REPLACE FUNCTION weir.make_stream_group(stream int4, name text, from_at timestamptz) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  new_id int4 := (SELECT g.id FROM weir.stream_group g WHERE g.stream_id = stream AND g.name = make_stream_group.name);
  last   int8;
BEGIN
  IF new_id IS NOT NULL THEN
    RETURN new_id;
  END IF;
  PERFORM weir.lock_stream_past(stream);
  IF from_at IS NULL THEN
    PERFORM weir.lock_stream(stream);
  END IF;
  INSERT INTO weir.stream_group (stream_id, name) VALUES (stream, make_stream_group.name)
  ON CONFLICT ON CONSTRAINT stream_group_stream_id_name_key DO NOTHING RETURNING id INTO new_id;
  IF new_id IS NULL THEN
    RETURN (SELECT g.id FROM weir.stream_group g WHERE g.stream_id = stream AND g.name = make_stream_group.name);
  END IF;
  IF from_at IS NOT NULL THEN
    last := coalesce((SELECT max(k.number) FROM weir.stream_chunk k WHERE k.stream_id = stream), 0);
    PERFORM weir.seek_stream_group(new_id, from_at);
    -- From here on nobody cuts who does not see the group.
    PERFORM weir.lock_stream(stream);
    PERFORM weir.give_stream_chunks(new_id, from_at, last);
  END IF;
  RETURN new_id;
END $$;

-- As it was; but chunks that a group is just being given stay as they are. They are looked at the next time.
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
  all_ := ARRAY(SELECT k FROM weir.stream_chunk k
                 WHERE k.stream_id = stream AND k.number > above AND k.cut_at < clock_timestamp() - interval '1 min'
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
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['lock_stream_past(int4)', 'try_lock_stream_past(int4)', 'give_stream_chunks(int4, timestamptz, int8)']) f;

SELECT weir.apply_grants();
