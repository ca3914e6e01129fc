-- Consumers of groups that find nothing to do are woken: when batches come before their sink, when a group is given back that could go on,
-- when a run fails and what is behind it need not wait. As 003_work.sql does it: who sleeps holds a shared session lock (weir.sleep_key), here
-- one for his sink, and as a rule nobody is notified while nobody sleeps. All who sleep for a sink are told, by one channel for each sink, because
-- they have no row that says who they are: their connection can look, and cannot write. So nobody has to pass on what he was woken for.
--
-- Two that ask in the same instant may each take the other for a sleeper. So who seems to be asleep is asked for twice, which is paid only then:
-- what is left of that are a few notifications that nobody hears.

-- To be called after the work is written, as weir.wake(). Answers whether anybody may have been asleep.
CREATE FUNCTION weir.wake_sink(sink int4) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mark int8 := weir.sleep_key('group:' || sink);
BEGIN
  IF weir.is_held(mark) AND weir.is_held(mark) THEN
    PERFORM pg_notify('weir_group_' || sink, '');
    RETURN true;
  END IF;
  RETURN false;
END $$;
COMMENT ON FUNCTION weir.wake_sink(int4) IS 'Wakes sleeping consumers of a sink; without any it hardly ever sends anything.';

-- Whatever puts batches before a sink: a producer, the sink before it, a run that is brought back. For each row: most statements have one or
-- none, and a transition table costs them twice as much (16 us instead of 9, and 6 where there is none); so does a WHEN, which is planned anew
-- for each statement.
CREATE FUNCTION weir.wake_for_step() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mark int8 := weir.sleep_key('group:' || NEW.sink_id);
BEGIN
  IF weir.is_held(mark) AND weir.is_held(mark) THEN
    PERFORM pg_notify('weir_group_' || NEW.sink_id, '');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER batch_step_wake AFTER INSERT ON weir.batch_step FOR EACH ROW EXECUTE FUNCTION weir.wake_for_step();

-- For who gives a group up, after that is written: whether the group's next batch could be applied now. To be asked only where somebody seems
-- to sleep: most groups are given up because nothing is left. Who owned it by lock tells others when he has let go of that, too (they
-- would not get it, and leave it alone for a while): so it is told by a statement of its own, weir.wake_sink(). Whoever is told by somebody
-- else between that question and the end of the lock finds the group taken, and tries again soon after.
--
-- What is submitted just now, and is not seen here: who is woken for it looks until all have ended who ran when he lay down again.
CREATE FUNCTION weir.is_wanted_group(sink int4, tenant text, key text) RETURNS bool
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
  -- As weir.ready_groups() has it.
  RETURN EXISTS (
    SELECT FROM (SELECT s.run_id, s.idx, s.state, s.next_at FROM weir.batch_step s
                  WHERE s.sink_id = is_wanted_group.sink AND s.tenant = is_wanted_group.tenant AND s.key = is_wanted_group.key
                  ORDER BY s.run_id, s.idx LIMIT 1) h
      LEFT JOIN weir.batch_turn t ON t.run_id = h.run_id AND t.sink_id = is_wanted_group.sink
     WHERE (h.state = 'pending' OR h.state = 'waiting_retry' AND h.next_at <= clock_timestamp())
       AND (coalesce(t.next_idx, 0) >= h.idx OR t.failed
            OR EXISTS (SELECT FROM weir.batch_run r
                        WHERE r.id = h.run_id AND weir.superseded_by(r.feed_id, r.tenant, r.key, r.id) IS NOT NULL))
       AND NOT (SELECT k.paused FROM weir.feed_sink k WHERE k.id = is_wanted_group.sink));
END $$;

-- As before, and it wakes: the group's next run may be before sinks at which nobody has the group.
CREATE OR REPLACE FUNCTION weir.fail_batch_run(sink int4, tenant text, key text, run int8, reason text) RETURNS int4
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
  PERFORM weir.wake_sink(s) FROM unnest(sinks) s;
  RETURN ended;
END $$;

INSERT INTO weir.role_grant (role, kind, object, privilege)
  SELECT 'weir_worker', 'routine', 'weir.' || f, 'EXECUTE'
    FROM unnest(ARRAY['wake_sink(int4)', 'is_wanted_group(int4, text, text)']) f;

SELECT weir.apply_grants();
