-- Groups, for those who consume them: which can be taken, who has them, what becomes of their batches, and what is done about
-- owners that are gone. The tables are in 021_groups.sql; models/group.pml models what is here.
-- Who changes more than one row locks them in this order: holds, then steps by sink, run and index, then turns.

-- The sinks that come after one, and after those.
CREATE FUNCTION weir.sinks_behind(sink int4) RETURNS SETOF int4
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE behind AS (
    SELECT k.id FROM weir.feed_sink k WHERE k.after_id = sink
    UNION SELECT k.id FROM behind b JOIN weir.feed_sink k ON k.after_id = b.id)
  SELECT b.id FROM behind b
$$;

-- Of groups that nobody has, those whose next batch can be applied now: for each tenant in turn, those who have least in
-- flight first. Locks nothing. Of a tenant the keys behind the one that was taken last come first. Looks at `tenants` tenants
-- behind `after_tenant` and begins again at the first one; the row without a tenant says behind which one to look the next time.
CREATE FUNCTION weir.group_candidates(sink int4, after_tenant text, wanted int4, tenants int4, depth int4, last_tenants text[] DEFAULT '{}',
                                      last_keys text[] DEFAULT '{}')
RETURNS TABLE (tenant text, key text, since timestamptz, last_tenant text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH RECURSIVE visited AS (
    (SELECT s.tenant, 1 AS n FROM weir.batch_step s
      WHERE s.sink_id = group_candidates.sink  -- a tenant may be the empty text; the next one after 'a' is 'a' and the least character
        AND s.tenant >= CASE WHEN group_candidates.after_tenant = '' THEN '' ELSE group_candidates.after_tenant || chr(1) END
        AND NOT (SELECT k.paused FROM weir.feed_sink k WHERE k.id = group_candidates.sink) ORDER BY s.tenant LIMIT 1)
    UNION ALL
    SELECT s.tenant, v.n + 1 FROM visited v
     CROSS JOIN LATERAL (SELECT s.tenant FROM weir.batch_step s WHERE s.sink_id = group_candidates.sink AND s.tenant > v.tenant
                          ORDER BY s.tenant LIMIT 1) s
     WHERE v.n < group_candidates.tenants),
  found AS (
    SELECT v.tenant, g.key, g.since,
           row_number() OVER (PARTITION BY v.tenant ORDER BY g.since)
             + (SELECT count(*) FROM weir.group_hold h WHERE h.sink_id = group_candidates.sink AND h.tenant = v.tenant) AS turn
      FROM visited v
     CROSS JOIN LATERAL (SELECT coalesce((SELECT l.key FROM unnest(last_tenants, last_keys) l(tenant, key) WHERE l.tenant = v.tenant LIMIT 1), '')
                           COLLATE "C" AS key) pivot
     CROSS JOIN LATERAL (
       WITH RECURSIVE heads AS (
         (SELECT s.key, s.run_id, s.idx, s.state, s.next_at, s.changed_at, 1 AS n, s.round FROM (
            (SELECT s.*, 1 AS round FROM weir.batch_step s
              WHERE s.sink_id = group_candidates.sink AND s.tenant = v.tenant AND s.key > pivot.key ORDER BY s.key, s.run_id, s.idx LIMIT 1)
            UNION ALL
            (SELECT s.*, 2 FROM weir.batch_step s
              WHERE s.sink_id = group_candidates.sink AND s.tenant = v.tenant AND s.key <= pivot.key ORDER BY s.key, s.run_id, s.idx LIMIT 1)) s
          LIMIT 1)
         UNION ALL
         SELECT s.key, s.run_id, s.idx, s.state, s.next_at, s.changed_at, h.n + 1, s.round FROM heads h
          CROSS JOIN LATERAL (
            SELECT x.* FROM (
              (SELECT s.*, h.round FROM weir.batch_step s
                WHERE s.sink_id = group_candidates.sink AND s.tenant = v.tenant AND s.key > h.key AND (h.round = 1 OR s.key <= pivot.key)
                ORDER BY s.key, s.run_id, s.idx LIMIT 1)
              UNION ALL
              (SELECT s.*, 2 FROM weir.batch_step s
                WHERE h.round = 1 AND s.sink_id = group_candidates.sink AND s.tenant = v.tenant AND s.key <= pivot.key
                ORDER BY s.key, s.run_id, s.idx LIMIT 1)) x
            LIMIT 1) s
          WHERE h.n < group_candidates.depth)
       SELECT h.key, coalesce(h.next_at, h.changed_at) AS since FROM heads h
         LEFT JOIN weir.batch_turn t ON t.run_id = h.run_id AND t.sink_id = group_candidates.sink
        WHERE (h.state = 'pending' OR h.state = 'waiting_retry' AND h.next_at <= clock_timestamp())
          AND (coalesce(t.next_idx, 0) >= h.idx OR t.failed
               OR EXISTS (SELECT FROM weir.batch_run r
                           WHERE r.id = h.run_id AND weir.superseded_by(r.feed_id, r.tenant, r.key, r.id) IS NOT NULL))
          AND NOT EXISTS (SELECT FROM weir.group_hold o
                           WHERE o.sink_id = group_candidates.sink AND o.tenant = v.tenant AND o.key = h.key)
        LIMIT group_candidates.wanted) g)
  (SELECT f.tenant, f.key, f.since, NULL::text FROM found f ORDER BY f.turn, f.since LIMIT group_candidates.wanted)
  UNION ALL
  SELECT NULL, NULL, NULL, CASE WHEN max(v.n) = group_candidates.tenants THEN max(v.tenant) ELSE '' END FROM visited v;
END $$;

-- For who holds its lock, or wants it by lease: false where somebody has it. Who died with it, recover_groups() clears away.
CREATE FUNCTION weir.take_group(sink int4, tenant text, key text, owner text, lock_key int4, lease_ms int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- The insertion alone would wait for a transaction that has the row pinned.
  IF EXISTS (SELECT FROM weir.group_hold h WHERE h.sink_id = sink AND h.tenant = take_group.tenant AND h.key = take_group.key) THEN
    RETURN false;
  END IF;
  INSERT INTO weir.group_hold (sink_id, tenant, key, owner, lock_key, expires_at)
  VALUES (sink, take_group.tenant, take_group.key, take_group.owner, take_group.lock_key, clock_timestamp() + lease_ms * interval '1 ms')
  ON CONFLICT DO NOTHING;
  RETURN FOUND;
END $$;

-- The owner's row, locked; no row where it is not his any more, or the batch that he is at was ended by somebody else. A lease
-- that has run out is not revived. Not in SQL, which would be planned anew each time.
CREATE FUNCTION weir.own_hold(sink int4, tenant text, key text, owner text) RETURNS SETOF weir.group_hold
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY SELECT h.* FROM weir.group_hold h
   WHERE h.sink_id = sink AND h.tenant = own_hold.tenant AND h.key = own_hold.key AND h.owner = own_hold.owner
     AND (h.lock_key IS NOT NULL OR h.expires_at > clock_timestamp())
     AND (h.run_id IS NULL OR EXISTS (
       SELECT FROM weir.batch_step s WHERE s.sink_id = h.sink_id AND s.tenant = h.tenant AND s.key = h.key AND s.run_id = h.run_id
          AND s.idx = h.idx AND s.state = 'executing' AND s.attempt = h.attempt))
     FOR NO KEY UPDATE OF h;
END $$;

CREATE FUNCTION weir.renew_group(sink int4, tenant text, key text, owner text, lease_ms int8) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM weir.own_hold(sink, renew_group.tenant, renew_group.key, renew_group.owner);
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  UPDATE weir.group_hold h SET beat_at = clock_timestamp(), expires_at = clock_timestamp() + lease_ms * interval '1 ms'
   WHERE h.sink_id = sink AND h.tenant = renew_group.tenant AND h.key = renew_group.key;
  RETURN true;
END $$;

-- In the transaction that applies a batch: as long as it lasts the group is the owner's, however long that is. The lease is
-- counted from its end. The row's lock is all: what is written here would stay where the sink commits by itself. False: it is not.
CREATE FUNCTION weir.pin_group(sink int4, tenant text, key text, owner text) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM FROM weir.own_hold(sink, pin_group.tenant, pin_group.key, pin_group.owner);
  RETURN FOUND;
END $$;

-- Ends a run at a sink and the sinks behind it: what is left of it has failed. Never a word about what has ended.
CREATE FUNCTION weir.fail_batch_run(sink int4, tenant text, key text, run int8, reason text) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sinks int4[] := ARRAY(SELECT s FROM (SELECT sink UNION SELECT b FROM weir.sinks_behind(sink) b) x(s) ORDER BY s);
  ended int4;
BEGIN
  PERFORM FROM (SELECT FROM weir.batch_step s
                 WHERE s.sink_id = ANY (sinks) AND s.tenant = fail_batch_run.tenant AND s.key = fail_batch_run.key AND s.run_id = run
                 ORDER BY s.sink_id, s.run_id, s.idx FOR UPDATE) l;
  WITH gone AS (
    DELETE FROM weir.batch_step s
     WHERE s.sink_id = ANY (sinks) AND s.tenant = fail_batch_run.tenant AND s.key = fail_batch_run.key AND s.run_id = run
    RETURNING s.*)
  INSERT INTO weir.batch_attempt (begun_at, run_at, run_id, sink_id, idx, attempt, outcome, owner, error)
  SELECT CASE WHEN g.state = 'executing' THEN h.begun_at END, g.run_at, g.run_id, g.sink_id, g.idx, g.attempt, 'failed',
         CASE WHEN g.state = 'executing' THEN h.owner END, reason
    FROM gone g LEFT JOIN weir.group_hold h ON h.sink_id = g.sink_id AND h.tenant = g.tenant AND h.key = g.key AND h.run_id = g.run_id
                                           AND h.idx = g.idx;
  GET DIAGNOSTICS ended = ROW_COUNT;
  INSERT INTO weir.batch_turn (run_id, sink_id, failed, error) SELECT run, s, true, reason FROM unnest(sinks) s ORDER BY s
  ON CONFLICT (run_id, sink_id) DO UPDATE SET failed = true, error = coalesce(batch_turn.error, excluded.error);
  RETURN ended;
END $$;

-- The group's next batch, begun by its owner: looked up now, whatever the owner had seen before. The attempt counts from
-- here on. `state`: begun; none (nothing that can be applied now); lost (the group is not the owner's any more). `failed`: how many
-- runs had no attempt left. Who reads the payload where it is, does not want it.
CREATE FUNCTION weir.begin_batch(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool)
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
  PERFORM FROM weir.own_hold(sink, begin_batch.tenant, begin_batch.key, begin_batch.owner);
  IF NOT FOUND THEN
    state := 'lost';
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP
    SELECT * INTO s FROM weir.batch_step x
     WHERE x.sink_id = sink AND x.tenant = begin_batch.tenant AND x.key = begin_batch.key ORDER BY x.run_id, x.idx LIMIT 1 FOR UPDATE;
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
           CASE WHEN with_payload THEN b.payload END, begin_batch.failed
      FROM weir.batch b WHERE b.run_at = s.run_at AND b.run_id = s.run_id AND b.idx = s.idx;
    RETURN;
  END LOOP;
  state := 'none';
  RETURN NEXT;
END $$;

-- What became of the batch that the owner has begun. outcome: succeeded; retry (after delay_ms); failed, and its run with it;
-- returned (after delay_ms): it was not his fault, and the attempt does not count. False, and nothing is written, where it is his no longer.
CREATE FUNCTION weir.end_batch(sink int4, tenant text, key text, owner text, lease_ms int8, outcome text, error text, delay_ms int8)
RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
  h weir.group_hold;
  s weir.batch_step;
BEGIN
  -- A sink that is being added behind this one sees the batch as done, or it is seen from here.
  PERFORM pg_advisory_xact_lock_shared(weir.feed_lock(k.feed_id)) FROM weir.feed_sink k WHERE k.id = sink;
  -- A lease that has run out, and that nobody has taken, is the owner's as far as this goes: he is here.
  SELECT * INTO h FROM weir.group_hold x
   WHERE x.sink_id = sink AND x.tenant = end_batch.tenant AND x.key = end_batch.key AND x.owner = end_batch.owner FOR NO KEY UPDATE;
  IF NOT FOUND OR h.run_id IS NULL THEN
    RETURN false;
  END IF;
  SELECT * INTO s FROM weir.batch_step x
   WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx
     AND x.state = 'executing' AND x.attempt = h.attempt FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF outcome = 'failed' THEN
    PERFORM weir.fail_batch_run(sink, h.tenant, h.key, h.run_id, end_batch.error);
  ELSE
    INSERT INTO weir.batch_attempt (begun_at, run_at, run_id, sink_id, idx, attempt, outcome, owner, error)
    VALUES (h.begun_at, s.run_at, s.run_id, sink, s.idx, s.attempt, end_batch.outcome, h.owner, end_batch.error);
  END IF;
  IF outcome = 'succeeded' THEN
    DELETE FROM weir.batch_step x
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx;
    INSERT INTO weir.batch_turn (run_id, sink_id, next_idx) VALUES (s.run_id, sink, s.idx + 1)
    ON CONFLICT (run_id, sink_id) DO UPDATE SET next_idx = excluded.next_idx;
    INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at)
    SELECT k.id, s.tenant, s.key, s.run_id, s.idx, s.run_at FROM weir.feed_sink k WHERE k.after_id = sink;
  ELSIF outcome IN ('retry', 'returned') THEN
    UPDATE weir.batch_step x
       SET state = CASE WHEN outcome = 'retry' OR delay_ms > 0 THEN 'waiting_retry' ELSE 'pending' END, changed_at = clock_timestamp(),
           attempt = CASE WHEN outcome = 'retry' THEN x.attempt ELSE x.attempt - 1 END, error = coalesce(end_batch.error, x.error),
           next_at = CASE WHEN outcome = 'retry' OR delay_ms > 0 THEN clock_timestamp() + coalesce(delay_ms, 0) * interval '1 ms' END
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx;
  END IF;
  UPDATE weir.group_hold x
     SET run_id = NULL, idx = NULL, attempt = NULL, begun_at = NULL, beat_at = clock_timestamp(),
         expires_at = clock_timestamp() + lease_ms * interval '1 ms'
   WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key;
  RETURN true;
END $$;

-- The usual case in one transaction: the batch has succeeded, and its owner goes on with the group's next one, which is begun
-- as begin_batch() does it. state is lost where the end was not accepted, and nothing is written then.
CREATE FUNCTION weir.end_and_begin_batch(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool)
RETURNS TABLE (accepted bool, state text, run_id int8, run_at timestamptz, idx int4, attempt int4, run text, final bool, rows int8,
               bytes int8, created_at timestamptz, error text, payload jsonb, failed int4)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  accepted := weir.end_batch(sink, end_and_begin_batch.tenant, end_and_begin_batch.key, end_and_begin_batch.owner, lease_ms,
                             'succeeded', NULL, NULL);
  IF NOT accepted THEN
    state := 'lost';
    RETURN NEXT;
    RETURN;
  END IF;
  RETURN QUERY SELECT true, b.* FROM weir.begin_batch(sink, end_and_begin_batch.tenant, end_and_begin_batch.key,
                                                      end_and_begin_batch.owner, lease_ms, max_attempts, with_payload) b;
END $$;

-- The rows that a payload is: an array of objects, an object with such an array as `rows`, or one object.
CREATE FUNCTION weir.batch_rows(payload jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN jsonb_typeof(payload) = 'array' THEN payload
              WHEN jsonb_typeof(payload -> 'rows') = 'array' THEN payload -> 'rows'
              ELSE jsonb_build_array(payload) END
$$;

-- Takes groups from owners that are gone: by lease, when it has run out and no transaction of theirs holds the row; by lock,
-- when nobody holds it. What they were at waits for its next attempt, or fails. One at a time in the fleet.
CREATE FUNCTION weir.recover_groups(sink int4, space int4, max_attempts int4, backoff_ms int8)
RETURNS TABLE (tenant text, key text, owner text, run_id int8, idx int4, attempt int4, failed bool)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  h weir.group_hold;
  s weir.batch_step;
  has_failed bool;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('weir.recover_groups:' || sink, 0)) THEN
    RETURN;
  END IF;
  FOR h IN SELECT * FROM weir.group_hold x
            WHERE x.sink_id = sink AND (x.lock_key IS NOT NULL OR x.expires_at <= clock_timestamp()) ORDER BY x.tenant, x.key LOOP
    CONTINUE WHEN h.lock_key IS NOT NULL AND NOT pg_try_advisory_xact_lock(space, h.lock_key);
    -- Only now: a living owner's heartbeat does not wait for us. He who has the lock and not yet written that, finds the row gone.
    SELECT * INTO h FROM weir.group_hold x
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.owner = h.owner
       AND (x.lock_key IS NOT NULL OR x.expires_at <= clock_timestamp()) FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    DELETE FROM weir.group_hold x WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key;
    has_failed := false;
    SELECT * INTO s FROM weir.batch_step x
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx
       AND x.state = 'executing' AND x.attempt = h.attempt FOR UPDATE;
    IF FOUND THEN
      INSERT INTO weir.batch_attempt (begun_at, run_at, run_id, sink_id, idx, attempt, outcome, owner, error)
      VALUES (h.begun_at, s.run_at, s.run_id, sink, s.idx, s.attempt, 'lost', h.owner, 'its consumer was gone');
      has_failed := s.attempt >= max_attempts;
      UPDATE weir.batch_step x
         SET state = 'waiting_retry', changed_at = clock_timestamp(), error = 'its consumer was gone',
             next_at = clock_timestamp() + backoff_ms * x.attempt * interval '1 ms'
       WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx;
      IF has_failed THEN
        PERFORM weir.fail_batch_run(sink, h.tenant, h.key, s.run_id,
                                    format('batch %s was begun %s times, and its consumer was gone each time: does it run out of memory?',
                                           s.idx, s.attempt));
      END IF;
    END IF;
    RETURN QUERY SELECT h.tenant, h.key, h.owner, h.run_id, h.idx, h.attempt::int4, has_failed;
  END LOOP;
END $$;

-- Runs that wait for a batch which never came. Answers how many failed. One at a time in the fleet.
CREATE FUNCTION weir.fail_stranded_runs(sink int4, older_ms int8) RETURNS int4
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
    -- Whoever submits to the run just now is waited for, and what he has submitted counts.
    PERFORM FROM weir.batch_run r WHERE r.id = s.run_id FOR UPDATE;
    CONTINUE WHEN EXISTS (SELECT FROM weir.batch_step y WHERE y.sink_id = sink AND y.tenant = s.tenant AND y.key = s.key
                             AND y.run_id = s.run_id AND y.idx <= s.missing)
               OR (SELECT coalesce(max(t.next_idx), 0) FROM weir.batch_turn t WHERE t.run_id = s.run_id AND t.sink_id = sink) > s.missing;
    PERFORM weir.fail_batch_run(sink, s.tenant, s.key, s.run_id, format('batch %s of the run never came', s.missing));
    n := n + 1;
  END LOOP;
  RETURN n;
END $$;

-- A run that failed at a sink, once more there: from the first batch on that did not succeed, with no attempt counted. What
-- succeeded stays as it is. Answers how many batches that is. Where it failed because of the sink before, bring it back at that one first.
CREATE FUNCTION weir.retry_batch_run(sink int4, run int8) RETURNS int4
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '5s' AS $$
DECLARE
  again int4;
BEGIN
  PERFORM pg_advisory_xact_lock(weir.feed_lock((SELECT k.feed_id FROM weir.feed_sink k WHERE k.id = retry_batch_run.sink)));
  INSERT INTO weir.batch_step (sink_id, tenant, key, run_id, idx, run_at)
  SELECT k.id, r.tenant, r.key, r.id, b.idx, b.run_at
    FROM weir.batch_run r
    JOIN weir.batch b ON b.run_at = r.created_at AND b.run_id = r.id
    JOIN weir.feed_sink k ON k.id = retry_batch_run.sink
    JOIN weir.batch_turn t ON t.run_id = r.id AND t.sink_id = k.id AND t.failed AND b.idx >= t.next_idx
    LEFT JOIN weir.batch_turn a ON a.run_id = r.id AND a.sink_id = k.after_id
   WHERE r.id = retry_batch_run.run AND (k.after_id IS NULL OR b.idx < coalesce(a.next_idx, 0))
   ORDER BY b.idx
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS again = ROW_COUNT;
  UPDATE weir.batch_turn t SET failed = false, error = NULL
   WHERE t.run_id = retry_batch_run.run AND t.sink_id = retry_batch_run.sink AND t.failed;
  RETURN again;
END $$;

-- What there is to say of a batch that is before a sink: how its last attempt failed, or what is missing before it.
CREATE FUNCTION weir.why_waiting(step weir.batch_step) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  next_idx int4 := coalesce((SELECT t.next_idx FROM weir.batch_turn t WHERE t.run_id = step.run_id AND t.sink_id = step.sink_id), 0);
BEGIN
  IF step.error IS NOT NULL OR step.state <> 'pending' OR step.idx <= next_idx
     OR EXISTS (SELECT FROM weir.batch b WHERE b.run_at = step.run_at AND b.run_id = step.run_id AND b.idx = next_idx) THEN
    RETURN step.error;
  END IF;
  RETURN format('waits for batch %s of its run, which has not come', next_idx);
END $$;

-- How a batch stands at a sink. `state`: pending, executing, waiting_retry; succeeded, failed; upstream: the sink before this
-- one has not passed it on. No row: it was not for this sink, which is younger.
CREATE FUNCTION weir.batch_at(sink int4, tenant text, key text, run int8, place int4)
RETURNS TABLE (state text, attempt int4, changed_at timestamptz, next_at timestamptz, owner text, error text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT x.state, x.attempt, x.changed_at, x.next_at, x.owner, x.error FROM (
    SELECT 1 AS rank, s.state, s.attempt::int4 AS attempt, s.changed_at, s.next_at, h.owner, weir.why_waiting(s) AS error
      FROM weir.batch_step s
      LEFT JOIN weir.group_hold h ON h.sink_id = s.sink_id AND h.tenant = s.tenant AND h.key = s.key AND h.run_id = s.run_id
                                 AND h.idx = s.idx
     WHERE s.sink_id = batch_at.sink AND s.tenant = batch_at.tenant AND s.key = batch_at.key AND s.run_id = batch_at.run
       AND s.idx = place
    UNION ALL
    (SELECT 2, a.outcome, a.attempt::int4, a.ended_at, NULL, a.owner, a.error FROM weir.batch_attempt a
      WHERE a.run_id = batch_at.run AND a.sink_id = batch_at.sink AND a.idx = place
      ORDER BY a.ended_at DESC, a.outcome IN ('succeeded', 'failed') DESC LIMIT 1)
    UNION ALL
    SELECT 3, 'failed', 0, NULL, NULL, NULL, t.error FROM weir.batch_turn t
     WHERE t.run_id = batch_at.run AND t.sink_id = batch_at.sink AND t.failed AND t.next_idx <= place
    UNION ALL
    SELECT 4, 'upstream', 0, NULL, NULL, NULL, NULL
      FROM weir.feed_sink k
      LEFT JOIN weir.batch_turn t ON t.run_id = batch_at.run AND t.sink_id = k.id
      LEFT JOIN weir.batch_turn a ON a.run_id = batch_at.run AND a.sink_id = k.after_id
     WHERE k.id = batch_at.sink AND k.after_id IS NOT NULL AND coalesce(t.next_idx, 0) <= place AND coalesce(a.next_idx, 0) <= place
  ) x ORDER BY x.rank LIMIT 1
$$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['sinks_behind(int4)', 'group_candidates(int4, text, int4, int4, int4, text[], text[])',
                      'take_group(int4, text, text, text, int4, int8)', 'own_hold(int4, text, text, text)',
                      'renew_group(int4, text, text, text, int8)', 'pin_group(int4, text, text, text)',
                      'fail_batch_run(int4, text, text, int8, text)', 'begin_batch(int4, text, text, text, int8, int4, bool)',
                      'end_batch(int4, text, text, text, int8, text, text, int8)',
                      'end_and_begin_batch(int4, text, text, text, int8, int4, bool)', 'recover_groups(int4, int4, int4, int8)',
                      'fail_stranded_runs(int4, int8)', 'batch_rows(jsonb)', 'why_waiting(weir.batch_step)', 'retry_batch_run(int4, int8)', 'batch_at(int4, text, text, int8, int4)']) f
  UNION ALL
  SELECT 'weir_viewer', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['why_waiting(weir.batch_step)', 'batch_at(int4, text, text, int8, int4)']) f;

SELECT weir.apply_grants();
