-- Groups, after a review by an enemy: the functions of 021_groups.sql and 022_group_consumers.sql that were wrong, as they are now.
-- What was wrong is said where it was.

-- Runs that may still get batches: a new sink has to know them, and the days on which they began are not over.
CREATE INDEX batch_run_open ON weir.batch_run (created_at) WHERE last_idx IS NULL;

-- As before, but a day is kept while one of its runs is open and had a batch since: what was a run of last week was forgotten while it
-- was fed, and its next batch made another one, which waited for its first. And a day goes with its runs or not at all: where a
-- producer has a run at hand it goes the next time, and nothing else waits for that.
CREATE OR REPLACE FUNCTION weir.keep_batch_days() RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
  today   date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
  oldest  date := today - (SELECT coalesce(max(f.keep_ms), 7 * 86400000::int8) / 86400000 FROM weir.feed f)::int4;
  kept    timestamptz := oldest::timestamp AT TIME ZONE 'UTC';
  changed int4;
  day     date;
  begins  timestamptz;
  ends    timestamptz;
  part    text;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.batch_days', 0)) THEN
    RETURN 0;
  END IF;
  changed := weir.make_batch_days();
  oldest := least(oldest, (SELECT (min(s.run_at) AT TIME ZONE 'UTC')::date FROM weir.batch_step s));
  FOR part, day IN
    SELECT d.part, to_date(right(d.part, 8), 'YYYYMMDD')
      FROM (SELECT c.relname AS part FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent IN ('weir.batch'::regclass, 'weir.batch_attempt'::regclass)
               AND c.relname ~ '^batch_(attempt_)?\d{8}$') d
     WHERE to_date(right(d.part, 8), 'YYYYMMDD') < oldest ORDER BY 2, 1
  LOOP
    begins := day::timestamp AT TIME ZONE 'UTC';
    ends := (day + 1)::timestamp AT TIME ZONE 'UTC';
    BEGIN
      IF part NOT LIKE 'batch_attempt_%' THEN
        CONTINUE WHEN EXISTS (
          SELECT FROM weir.batch_run r
           WHERE r.last_idx IS NULL AND r.created_at >= begins AND r.created_at < ends
             AND (SELECT max(b.created_at) FROM weir.batch b WHERE b.run_at = r.created_at AND b.run_id = r.id) >= kept);
        -- Who submits to one of them has it locked: its day goes the next time. Who comes later makes a new one.
        WITH gone AS (DELETE FROM weir.batch_run r WHERE r.created_at >= begins AND r.created_at < ends RETURNING r.id)
        DELETE FROM weir.batch_turn t USING gone g WHERE t.run_id = g.id;
      END IF;
      EXECUTE format('LOCK TABLE weir.%I IN ACCESS EXCLUSIVE MODE', part);
      IF part NOT LIKE 'batch_attempt_%' AND EXISTS (SELECT FROM weir.batch_step s WHERE s.run_at >= begins AND s.run_at < ends) THEN
        RAISE lock_not_available USING MESSAGE = 'a run of the day was brought back';
      END IF;
      EXECUTE format('DROP TABLE weir.%I', part);
      changed := changed + 1;
    EXCEPTION WHEN lock_not_available THEN
      NULL;  -- somebody reads history, or adds to it: what was made stays, and this one goes the next time
    END;
  END LOOP;
  RETURN changed;
END $$;

-- As before, but without `from_at` it looks at the runs that can still have a batch for somebody, and not at everything that is kept:
-- producers wait for that. Such a run is open, or is before one of the feed's sinks, or has failed at one and may be brought back.
CREATE OR REPLACE FUNCTION weir.add_feed_sink(feed int4, name text, after_sink int4, from_at timestamptz) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms' SET jit = off AS $$
#variable_conflict use_column
DECLARE
  sink   int4;
  others int4[] := ARRAY(SELECT k.id FROM weir.feed_sink k WHERE k.feed_id = add_feed_sink.feed);
BEGIN
  PERFORM pg_advisory_xact_lock(weir.feed_lock(feed));
  INSERT INTO weir.feed_sink (feed_id, name, after_id) VALUES (feed, add_feed_sink.name, after_sink) RETURNING id INTO sink;
  -- A run's turn begins with the first batch that the sink will have: it would wait for those that it missed.
  INSERT INTO weir.batch_turn (run_id, sink_id, next_idx)
  SELECT r.id, sink,
         CASE WHEN after_sink IS NOT NULL THEN least(b.since, coalesce(a.next_idx, 0)) ELSE coalesce(b.since, b.last + 1, 0) END
    FROM (SELECT x.id FROM weir.batch_run x WHERE x.last_idx IS NULL
          UNION SELECT s.run_id FROM weir.batch_step s WHERE s.sink_id = ANY (others)
          UNION SELECT t.run_id FROM weir.batch_turn t WHERE t.failed AND t.sink_id = ANY (others)
          UNION SELECT x.id FROM weir.batch_run x WHERE from_at IS NOT NULL) l
    JOIN weir.batch_run r ON r.id = l.id AND r.feed_id = add_feed_sink.feed
   CROSS JOIN LATERAL (SELECT min(x.idx) FILTER (WHERE x.created_at >= from_at) AS since, max(x.idx) AS last
                         FROM weir.batch x WHERE x.run_at = r.created_at AND x.run_id = r.id) b
    LEFT JOIN weir.batch_turn a ON a.run_id = r.id AND a.sink_id = after_sink;
  INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at)
  SELECT sink, r.tenant, r.key, r.id, b.idx, b.run_at
    FROM weir.batch_run r
    JOIN weir.batch_turn t ON t.run_id = r.id AND t.sink_id = sink
    JOIN weir.batch b ON b.run_at = r.created_at AND b.run_id = r.id AND b.idx >= t.next_idx
    LEFT JOIN weir.batch_turn a ON a.run_id = r.id AND a.sink_id = after_sink
   WHERE r.feed_id = feed AND (after_sink IS NULL OR b.idx < coalesce(a.next_idx, 0));
  RETURN sink;
END $$;

-- As before, but an index without a run is refused: it made a run that could never begin, and stopped its group until it was stranded.
-- Submits a batch; answers its run and index, '17.0'. Without `run` it is a run of its own. Without `idx` it is the next of
-- its run. `final`: none follows. `supersede`: what is left of the group's older runs fails. The same batch submitted again
-- is the same batch.
CREATE OR REPLACE FUNCTION weir.submit_batch(tenant text, key text, payload jsonb, run text DEFAULT NULL, idx int4 DEFAULT NULL,
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
  IF place > 0 AND submit_batch.run IS NULL THEN
    RAISE EXCEPTION 'a batch with the index % belongs to a run', place USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Name its run. Without one it is a run of its own, of which the batch 0 would never come.';
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

-- What weir.group_candidates() did. It answered nothing where the sink is gone, so that its consumers looked healthy for ever; and who
-- had to look at all groups of a tenant, because those in front cannot be taken, could do so only at once. Now: the groups, those who
-- have least in flight first; for each tenant of whom not all groups were looked at a row with `seen`, the last one of them, to
-- go on behind it; and one row without a tenant, behind whose last_tenant to look the next time.
DROP FUNCTION weir.group_candidates(int4, text, int4, int4, int4, text[], text[]);
DELETE FROM weir.role_grant WHERE object LIKE 'weir.group_candidates(%';
CREATE FUNCTION weir.ready_groups(sink int4, after_tenant text, wanted int4, tenants int4, depth int4, last_tenants text[] DEFAULT '{}',
                                  last_keys text[] DEFAULT '{}')
RETURNS TABLE (tenant text, key text, since timestamptz, seen text, last_tenant text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  paused bool := (SELECT k.paused FROM weir.feed_sink k WHERE k.id = ready_groups.sink);
BEGIN
  IF paused IS NULL THEN
    RAISE EXCEPTION 'the sink % is there no more', ready_groups.sink USING ERRCODE = 'no_data_found';
  ELSIF paused THEN
    RETURN QUERY SELECT NULL, NULL, NULL::timestamptz, NULL, '';
    RETURN;
  END IF;
  RETURN QUERY
  WITH RECURSIVE visited AS (
    (SELECT s.tenant, 1 AS n FROM weir.batch_step s
      WHERE s.sink_id = ready_groups.sink  -- a tenant may be the empty text; the next one after 'a' is 'a' and the least character
        AND s.tenant >= CASE WHEN ready_groups.after_tenant = '' THEN '' ELSE ready_groups.after_tenant || chr(1) END
      ORDER BY s.tenant LIMIT 1)
    UNION ALL
    SELECT s.tenant, v.n + 1 FROM visited v
     CROSS JOIN LATERAL (SELECT s.tenant FROM weir.batch_step s WHERE s.sink_id = ready_groups.sink AND s.tenant > v.tenant
                          ORDER BY s.tenant LIMIT 1) s
     WHERE v.n < ready_groups.tenants),
  looked AS MATERIALIZED (
    SELECT v.tenant, g.* FROM visited v
     CROSS JOIN LATERAL (SELECT coalesce((SELECT l.key FROM unnest(last_tenants, last_keys) l(tenant, key) WHERE l.tenant = v.tenant LIMIT 1), '')
                           COLLATE "C" AS key) pivot
     CROSS JOIN LATERAL (
       WITH RECURSIVE heads AS (
         (SELECT s.key, s.run_id, s.idx, s.state, s.next_at, s.changed_at, 1 AS n, s.round FROM (
            (SELECT s.*, 1 AS round FROM weir.batch_step s
              WHERE s.sink_id = ready_groups.sink AND s.tenant = v.tenant AND s.key > pivot.key ORDER BY s.key, s.run_id, s.idx LIMIT 1)
            UNION ALL
            (SELECT s.*, 2 FROM weir.batch_step s
              WHERE s.sink_id = ready_groups.sink AND s.tenant = v.tenant AND s.key <= pivot.key ORDER BY s.key, s.run_id, s.idx LIMIT 1)) s
          LIMIT 1)
         UNION ALL
         SELECT s.key, s.run_id, s.idx, s.state, s.next_at, s.changed_at, h.n + 1, s.round FROM heads h
          CROSS JOIN LATERAL (
            SELECT x.* FROM (
              (SELECT s.*, h.round FROM weir.batch_step s
                WHERE s.sink_id = ready_groups.sink AND s.tenant = v.tenant AND s.key > h.key AND (h.round = 1 OR s.key <= pivot.key)
                ORDER BY s.key, s.run_id, s.idx LIMIT 1)
              UNION ALL
              (SELECT s.*, 2 FROM weir.batch_step s
                WHERE h.round = 1 AND s.sink_id = ready_groups.sink AND s.tenant = v.tenant AND s.key <= pivot.key
                ORDER BY s.key, s.run_id, s.idx LIMIT 1)) x
            LIMIT 1) s
          WHERE h.n < ready_groups.depth)
       SELECT h.key, coalesce(h.next_at, h.changed_at) AS since, h.n, ready.yes FROM heads h
         LEFT JOIN weir.batch_turn t ON t.run_id = h.run_id AND t.sink_id = ready_groups.sink
        CROSS JOIN LATERAL (
          SELECT (h.state = 'pending' OR h.state = 'waiting_retry' AND h.next_at <= clock_timestamp())
             AND (coalesce(t.next_idx, 0) >= h.idx OR t.failed
                  OR EXISTS (SELECT FROM weir.batch_run r
                              WHERE r.id = h.run_id AND weir.superseded_by(r.feed_id, r.tenant, r.key, r.id) IS NOT NULL))
             AND NOT EXISTS (SELECT FROM weir.group_hold o
                              WHERE o.sink_id = ready_groups.sink AND o.tenant = v.tenant AND o.key = h.key) AS yes) ready
        WHERE ready.yes OR h.n = ready_groups.depth
        LIMIT ready_groups.wanted) g),
  found AS (
    SELECT l.tenant, l.key, l.since,
           row_number() OVER (PARTITION BY l.tenant ORDER BY l.since)
             + (SELECT count(*) FROM weir.group_hold h WHERE h.sink_id = ready_groups.sink AND h.tenant = l.tenant) AS turn
      FROM looked l WHERE l.yes)
  (SELECT f.tenant, f.key, f.since, NULL::text, NULL::text FROM found f ORDER BY f.turn, f.since LIMIT ready_groups.wanted)
  UNION ALL
  SELECT l.tenant, NULL, NULL, l.key, NULL FROM looked l WHERE l.n = ready_groups.depth
  UNION ALL
  SELECT NULL, NULL, NULL, NULL, CASE WHEN max(v.n) = ready_groups.tenants THEN max(v.tenant) ELSE '' END FROM visited v;
END $$;

-- begin_batch(), with two differences. What is before (from_run, from_idx) is not looked at: who has just ended a batch need not step
-- over what he has done, which is dead and still there while any old snapshot is. And a run that had failed before, and is met
-- with a batch that came later, counts as failed.
CREATE FUNCTION weir.begin_batch_from(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool,
                                      from_run int8, from_idx int4)
RETURNS TABLE (state text, run_id int8, run_at timestamptz, idx int4, attempt int4, run text, final bool, rows int8, bytes int8,
               created_at timestamptz, error text, payload jsonb, failed int4)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  s weir.batch_step;
  r weir.batch_run;
  t weir.batch_turn;
  newer int8;
BEGIN
  failed := 0;
  PERFORM FROM weir.own_hold(sink, begin_batch_from.tenant, begin_batch_from.key, begin_batch_from.owner);
  IF NOT FOUND THEN
    state := 'lost';
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP
    SELECT * INTO s FROM weir.batch_step x
     WHERE x.sink_id = sink AND x.tenant = begin_batch_from.tenant AND x.key = begin_batch_from.key
       AND (x.run_id, x.idx) >= (from_run, from_idx) ORDER BY x.run_id, x.idx LIMIT 1 FOR UPDATE;
    EXIT WHEN NOT FOUND;
    SELECT * INTO r FROM weir.batch_run b WHERE b.id = s.run_id;
    SELECT * INTO t FROM weir.batch_turn b WHERE b.run_id = s.run_id AND b.sink_id = sink;
    IF t.failed THEN
      -- Somebody may be bringing it back just now, and would bring back less than there is.
      PERFORM pg_advisory_xact_lock_shared(weir.feed_lock(r.feed_id));
      SELECT * INTO t FROM weir.batch_turn b WHERE b.run_id = s.run_id AND b.sink_id = sink;
    END IF;
    newer := weir.superseded_by(r.feed_id, r.tenant, r.key, r.id);
    IF t.failed OR newer IS NOT NULL THEN
      PERFORM weir.fail_batch_run(sink, s.tenant, s.key, s.run_id,
                                  coalesce(t.error, 'superseded by the run ' || coalesce((SELECT b.run FROM weir.batch_run b WHERE b.id = newer),
                                                                                        newer::text)));
      failed := failed + (newer IS NULL)::int4;
      CONTINUE;
    END IF;
    IF s.attempt >= max_attempts AND s.state = 'waiting_retry' THEN
      PERFORM weir.fail_batch_run(sink, s.tenant, s.key, s.run_id, format('batch %s failed %s times: %s', s.idx, s.attempt, s.error));
      failed := failed + 1;
      CONTINUE;
    END IF;
    EXIT WHEN s.state = 'waiting_retry' AND s.next_at > clock_timestamp() OR s.state = 'executing' OR s.idx > coalesce(t.next_idx, 0);
    EXIT WHEN (SELECT k.paused FROM weir.feed_sink k WHERE k.id = sink);
    UPDATE weir.batch_step x SET state = 'executing', attempt = x.attempt + 1, changed_at = clock_timestamp(), next_at = NULL
     WHERE x.sink_id = sink AND x.tenant = s.tenant AND x.key = s.key AND x.run_id = s.run_id AND x.idx = s.idx;
    UPDATE weir.group_hold h
       SET run_id = s.run_id, idx = s.idx, attempt = s.attempt + 1, begun_at = clock_timestamp(), beat_at = clock_timestamp(),
           expires_at = clock_timestamp() + lease_ms * interval '1 ms'
     WHERE h.sink_id = sink AND h.tenant = s.tenant AND h.key = s.key;
    RETURN QUERY
    SELECT 'begun', s.run_id, s.run_at, s.idx, s.attempt + 1, r.run, b.final, b.rows, b.bytes, b.created_at, s.error,
           CASE WHEN with_payload THEN b.payload END, begin_batch_from.failed
      FROM weir.batch b WHERE b.run_at = s.run_at AND b.run_id = s.run_id AND b.idx = s.idx;
    RETURN;
  END LOOP;
  state := 'none';
  RETURN NEXT;
END $$;

CREATE OR REPLACE FUNCTION weir.begin_batch(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool)
RETURNS TABLE (state text, run_id int8, run_at timestamptz, idx int4, attempt int4, run text, final bool, rows int8, bytes int8,
               created_at timestamptz, error text, payload jsonb, failed int4)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT b.* FROM weir.begin_batch_from(sink, begin_batch.tenant, begin_batch.key, begin_batch.owner, lease_ms, max_attempts,
                                                     with_payload, 0, 0) b;
END $$;

CREATE OR REPLACE FUNCTION weir.end_and_begin_batch(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool)
RETURNS TABLE (accepted bool, state text, run_id int8, run_at timestamptz, idx int4, attempt int4, run text, final bool, rows int8,
               bytes int8, created_at timestamptz, error text, payload jsonb, failed int4)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  ended_run int8;
  ended_idx int4;
BEGIN
  SELECT h.run_id, h.idx INTO ended_run, ended_idx FROM weir.group_hold h
   WHERE h.sink_id = sink AND h.tenant = end_and_begin_batch.tenant AND h.key = end_and_begin_batch.key
     AND h.owner = end_and_begin_batch.owner;
  accepted := weir.end_batch(sink, end_and_begin_batch.tenant, end_and_begin_batch.key, end_and_begin_batch.owner, lease_ms,
                             'succeeded', NULL, NULL);
  IF NOT accepted THEN
    state := 'lost';
    RETURN NEXT;
    RETURN;
  END IF;
  RETURN QUERY SELECT true, b.* FROM weir.begin_batch_from(sink, end_and_begin_batch.tenant, end_and_begin_batch.key,
                                                           end_and_begin_batch.owner, lease_ms, max_attempts, with_payload,
                                                           ended_run, ended_idx) b;
END $$;

-- Gives a group up. Not with a batch that is executing: one that was begun by a statement still on its way, or whose end was
-- refused, would be nobody's for ever (models/group.pml: releases_blindly). A batch that failed with its run by another sink is gone,
-- and may go. In one statement, the batch was looked up before the row's lock was waited for, and was not seen.
CREATE FUNCTION weir.release_group(sink int4, tenant text, key text, owner text) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  h weir.group_hold;
BEGIN
  SELECT * INTO h FROM weir.group_hold x
   WHERE x.sink_id = sink AND x.tenant = release_group.tenant AND x.key = release_group.key AND x.owner = release_group.owner FOR UPDATE;
  IF NOT FOUND OR EXISTS (SELECT FROM weir.batch_step s WHERE s.sink_id = h.sink_id AND s.tenant = h.tenant AND s.key = h.key
                             AND s.run_id = h.run_id AND s.idx = h.idx AND s.state = 'executing' AND s.attempt = h.attempt) THEN
    RETURN false;
  END IF;
  DELETE FROM weir.group_hold x WHERE x.sink_id = h.sink_id AND x.tenant = h.tenant AND x.key = h.key;
  RETURN true;
END $$;

-- For an owner whose connection broke, by another one: ends the attempt that he was at, and gives the group up. A batch that he does
-- not know of was begun by a statement whose answer was lost: nobody has tried it, so it goes back as it was.
CREATE FUNCTION weir.give_back_group(sink int4, tenant text, key text, owner text, lease_ms int8, run int8, place int4, attempt int4,
                                     outcome text, error text, delay_ms int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  h weir.group_hold;
BEGIN
  -- As end_batch() does it, and before the row, as it does.
  PERFORM pg_advisory_xact_lock_shared(weir.feed_lock(k.feed_id)) FROM weir.feed_sink k WHERE k.id = sink;
  SELECT * INTO h FROM weir.group_hold x
   WHERE x.sink_id = sink AND x.tenant = give_back_group.tenant AND x.key = give_back_group.key AND x.owner = give_back_group.owner
     FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF (h.run_id, h.idx, h.attempt) IS NOT DISTINCT FROM (run, place, give_back_group.attempt::int2) THEN
    PERFORM weir.end_batch(sink, h.tenant, h.key, h.owner, lease_ms, give_back_group.outcome, give_back_group.error, delay_ms);
  ELSE
    PERFORM weir.end_batch(sink, h.tenant, h.key, h.owner, lease_ms, 'returned', NULL, 0);
  END IF;
  RETURN weir.release_group(sink, h.tenant, h.key, h.owner);
END $$;

-- As before, but it does not wait for who submits to the run just now: he may take long, and the sweeps of the sink with him.
CREATE OR REPLACE FUNCTION weir.fail_stranded_runs(sink int4, older_ms int8) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  s record;
  n int4 := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.fail_stranded_runs:' || sink, 0)) THEN
    RETURN 0;
  END IF;
  FOR s IN SELECT DISTINCT ON (x.tenant, x.key, x.run_id) x.tenant, x.key, x.run_id, coalesce(t.next_idx, 0) AS missing
             FROM weir.batch_step x LEFT JOIN weir.batch_turn t ON t.run_id = x.run_id AND t.sink_id = sink
            WHERE x.sink_id = sink AND x.state = 'pending' AND x.changed_at < clock_timestamp() - older_ms * interval '1 ms'
              AND NOT EXISTS (SELECT FROM weir.batch_step y WHERE y.sink_id = sink AND y.tenant = x.tenant AND y.key = x.key
                                 AND y.run_id = x.run_id AND y.idx <= coalesce(t.next_idx, 0))
            ORDER BY x.tenant, x.key, x.run_id, x.idx LOOP
    -- What is submitted to the run just now counts: it is looked at the next time.
    PERFORM FROM weir.batch_run r WHERE r.id = s.run_id FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND
               OR EXISTS (SELECT FROM weir.batch_step y WHERE y.sink_id = sink AND y.tenant = s.tenant AND y.key = s.key
                             AND y.run_id = s.run_id AND y.idx <= s.missing)
               OR (SELECT coalesce(max(t.next_idx), 0) FROM weir.batch_turn t WHERE t.run_id = s.run_id AND t.sink_id = sink) > s.missing;
    PERFORM weir.fail_batch_run(sink, s.tenant, s.key, s.run_id, format('batch %s of the run never came', s.missing));
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- Who waits for the feed has everybody else wait behind him, so he tries again instead.
ALTER FUNCTION weir.retry_batch_run(int4, int8) SET lock_timeout = '200ms';

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['ready_groups(int4, text, int4, int4, int4, text[], text[])', 'release_group(int4, text, text, text)',
                      'begin_batch_from(int4, text, text, text, int8, int4, bool, int8, int4)',
                      'give_back_group(int4, text, text, text, int8, int8, int4, int4, text, text, int8)']) f;

SELECT weir.apply_grants();
