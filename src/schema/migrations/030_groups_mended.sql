-- Groups, after another review: the functions of 022_group_consumers.sql and 024_groups_mended.sql that were wrong, as they are now.
-- What was wrong is said where it was.

-- As before, but a batch whose payload is gone (somebody has deleted it, or a copy of the database has lost it) fails with its run: nothing
-- was answered, and its group was begun again and again, for ever.
CREATE OR REPLACE FUNCTION weir.begin_batch_from(sink int4, tenant text, key text, owner text, lease_ms int8, max_attempts int4, with_payload bool,
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
    IF FOUND THEN
      RETURN;
    END IF;
    PERFORM weir.fail_batch_run(sink, s.tenant, s.key, s.run_id, format('the payload of batch %s is gone', s.idx));
    UPDATE weir.group_hold h SET run_id = NULL, idx = NULL, attempt = NULL, begun_at = NULL
     WHERE h.sink_id = sink AND h.tenant = s.tenant AND h.key = s.key;
    failed := failed + 1;
  END LOOP;
  state := 'none';
  RETURN NEXT;
END $$;

-- Takes groups from owners that are gone: by lease, when it has run out and no transaction of theirs holds the row; by lock,
-- when nobody holds it. What they were at waits for its next attempt, or fails. One at a time in the fleet.
-- As before, but it waits for nobody who has a batch or a run locked: all groups of the sink, and all of its consumers, waited with it.
-- Such a group comes with a later sweep.
CREATE OR REPLACE FUNCTION weir.recover_groups(sink int4, space int4, max_attempts int4, backoff_ms int8)
RETURNS TABLE (tenant text, key text, owner text, run_id int8, idx int4, attempt int4, failed bool)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
DECLARE
  h weir.group_hold;
  s weir.batch_step;
  executing bool;
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
    executing := EXISTS (SELECT FROM weir.batch_step x
                          WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx
                            AND x.state = 'executing' AND x.attempt = h.attempt);
    SELECT * INTO s FROM weir.batch_step x
     WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx
       AND x.state = 'executing' AND x.attempt = h.attempt FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN executing AND s.run_id IS NULL;
    has_failed := coalesce(s.attempt >= max_attempts, false);
    BEGIN
      DELETE FROM weir.group_hold x WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key;
      IF executing THEN
        INSERT INTO weir.batch_attempt (begun_at, run_at, run_id, sink_id, idx, attempt, outcome, owner, error)
        VALUES (h.begun_at, s.run_at, s.run_id, sink, s.idx, s.attempt, 'lost', h.owner, 'its consumer was gone');
        UPDATE weir.batch_step x
           SET state = 'waiting_retry', changed_at = clock_timestamp(), error = 'its consumer was gone',
               next_at = clock_timestamp() + backoff_ms * x.attempt * interval '1 ms'
         WHERE x.sink_id = sink AND x.tenant = h.tenant AND x.key = h.key AND x.run_id = h.run_id AND x.idx = h.idx;
      END IF;
      IF has_failed THEN
        PERFORM weir.fail_batch_run(sink, h.tenant, h.key, s.run_id,
                                    format('batch %s was begun %s times, and its consumer was gone each time: does it run out of memory?',
                                           s.idx, s.attempt));
      END IF;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      CONTINUE;  -- somebody has what is behind it: the next time
    END;
    RETURN QUERY SELECT h.tenant, h.key, h.owner, h.run_id, h.idx, h.attempt::int4, has_failed;
  END LOOP;
END $$;
