-- Streams, after a review by an enemy: the functions of 020_streams.sql that were wrong, as they are now. What was wrong is said
-- where it was.

-- As it was, but for what is `busy`: read of the chunks at hand alone, for under the stream's lock nobody cuts. It was the whole
-- backlog of the slowest group, which each chunk was looked for in.
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

-- A chunk that is given up as a whole becomes letters, one for each event: each is tried alone then. Where the events cannot be
-- read together they are read one by one: that which cannot be read at all is dead at once, with what is known of it. It used to
-- keep its whole chunk, which came again for ever.
CREATE OR REPLACE FUNCTION weir.scatter_stream_work(w weir.stream_work) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s       weir.stream;
  c       weir.stream_chunk;
  e       record;
  letters text;
  why     text := 'one of the events of its chunk kills processes';
BEGIN
  SELECT t.* INTO STRICT s FROM weir.stream t JOIN weir.stream_group g ON g.stream_id = t.id WHERE g.id = w.group_id;
  SELECT k.* INTO c FROM weir.stream_chunk k WHERE k.stream_id = s.id AND k.number = w.chunk;
  IF NOT FOUND THEN
    RETURN;  -- retention was faster
  END IF;
  c.first_at := greatest(c.first_at, w.since);
  letters := format('INSERT INTO weir.stream_letter (group_id, attempt, alone, next_at, event_id, at, event, error)
                     SELECT $1, 0, true, clock_timestamp(), e.%I, e.%I, to_jsonb(e.*), $2 FROM %I.%I e WHERE ',
                    s.id_column, s.at_column, s.schema_name, s.table_name);
  BEGIN
    EXECUTE letters || weir.stream_chunk_filter(s, c) USING w.group_id, why;
    RETURN;
  EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN  -- what an event has in it, see Unreadable
    why := 'one of the events of its chunk cannot be read';
  END;
  FOR e IN
    EXECUTE format('SELECT DISTINCT e.%I::text AS xid, e.%I::int8 AS id, e.%I AS at FROM %I.%I e WHERE ', s.xid_column, s.id_column,
                   s.at_column, s.schema_name, s.table_name) || weir.stream_chunk_filter(s, c)
  LOOP
    BEGIN
      EXECUTE letters || format('e.%I = %L AND e.%I = %s AND e.%I = %L', s.xid_column, e.xid, s.id_column, e.id, s.at_column, e.at)
        USING w.group_id, why;
    EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
      INSERT INTO weir.stream_letter (group_id, attempt, next_at, event_id, at, event, error)
      VALUES (w.group_id, 0, NULL, e.id, e.at, jsonb_build_object(s.xid_column, e.xid, s.id_column, e.id, s.at_column, e.at),
              'cannot be read, and is not all here: ' || SQLERRM);
    END;
  END LOOP;
END $$;
