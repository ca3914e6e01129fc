/*
 * Wake-up: a busy system sends no NOTIFY, and no worker sleeps beside a job that waits.
 *
 * A model of weir.enqueue in src/schema/migrations/005_job_producers.sql, of weir.wake in 003_work.sql, of the polling
 * of src/work (bed.cc, idle.h), and of a producer that tells only after its commit. `all_targets` is weir.wake_sink() in
 * 036_group_wake.sql, with src/group/poll_connection.cc. README.md in this folder says which
 * part is which query. One topic, jobs that are all alike, and no fallback interval: what the fallback would find is
 * lost here.
 *
 * Commits, locks and snapshots are the atomic steps. A transaction in progress is a bit of `running`. When nothing more
 * can happen, `Judge` asks whether a job waits beside a sleeper. A crash or a stop is for good, and there are CRASHES
 * and STOPS of them; one worker at least stays alive.
 *
 * check holds:          PRODUCERS=2 CRASHES=0           -> holds
 * check crash:          PRODUCERS=1                     -> holds
 * check stop:           STOPS=1 PRODUCERS=1 CRASHES=0   -> holds
 * check stop_one_target: STOPS=1 ONE_TARGET CRASHES=0  -> holds
 * check three_workers:  WORKERS=3 PRODUCERS=1 CRASHES=0 -> holds
 * check one_target:     ONE_TARGET PRODUCERS=1          -> holds
 * check pass_on:        BUSY PASS_ON ONE_TARGET PRODUCERS=1 -> holds
 * check all_targets:    STOPS=1 ALL_TARGETS BUSY NO_HAND_OVER PRODUCERS=1 CRASHES=0 -> holds
 * check every_run_ends: cycles PRODUCERS=1              -> holds
 *
 * check look_first:     LOOK_FIRST                      -> fails: (waiting==0)
 * check no_repoll:      NO_REPOLL                       -> fails: (waiting==0)
 * check bound_first:    BOUND_FIRST                     -> fails: (waiting==0)
 * check xmax_bound:     XMAX_BOUND CRASHES=0            -> fails: (waiting==0)
 * check poll_first:     POLL_FIRST                      -> fails: (waiting==0)
 * check no_hand_over:   STOPS=1 ONE_TARGET NO_HAND_OVER CRASHES=0 -> fails: (waiting==0)
 * check try_only:       TRY_ONLY                        -> fails: (waiting==0)
 * check no_rescue_wake: NO_RESCUE_WAKE                  -> fails: (waiting==0)
 * check unregistered:   UNREGISTERED PRODUCERS=1        -> fails: (waiting==0)
 * check keep_it:        BUSY ONE_TARGET CRASHES=0       -> fails: (waiting==0)
 */

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef PRODUCERS
#define PRODUCERS 2 /* that call weir.enqueue; one more uses the library */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef STOPS
#define STOPS 0
#endif

/* Transactions in progress that have an id: 1 << w claims for worker w, the others insert. */
byte running;
#define CLAIM(w) (1 << (w))
#define INSERT(p) (8 << (p))

byte waiting;        /* committed rows of weir.job that nobody has locked */
byte asleep;         /* who holds the shared advisory lock "asleep on this topic" */
bool tried;          /* a producer has it exclusively, for a moment */
byte notified;       /* delivered, and not yet read */
byte alive = (1 << WORKERS) - 1;
byte busy;           /* who has no capacity left */
byte watch[WORKERS]; /* what had a lower transaction id than a sleeper's bound, and is still in progress */
byte crashes = CRASHES;
#if STOPS > 0
byte stops = STOPS;
#endif
byte orphans;        /* crashed processes that no rescuer has dealt with */
bool due;            /* the library's notifier has something to say */

#ifdef XMAX_BOUND
/* What has begun since a transaction last ended: a snapshot's xmax is one more than the last that has ended. */
byte beyond_xmax;
#define begin_transaction(xid) running = running | (xid); beyond_xmax = beyond_xmax | (xid)
#define forget_beyond() beyond_xmax = 0
#define bound() (running & ~beyond_xmax)
#else
#define begin_transaction(xid) running = running | (xid)
#define forget_beyond()
#define bound() running /* pg_current_xact_id(): above all that were given out */
#endif

/* xmin passes a transaction: it is in nobody's way any more. */
inline end_transaction(xid) {
  running = running & ~(xid);
  forget_beyond();
  watch[0] = watch[0] & ~(xid);
#if WORKERS > 1
  watch[1] = watch[1] & ~(xid);
#endif
#if WORKERS > 2
  watch[2] = watch[2] & ~(xid);
#endif
}

/*
 * Does anybody sleep? pg_try_advisory_lock, and unlocked at once; where it fails, the same is asked of each listener's own
 * lock (a producer at the same moment makes it fail as well, and then there is nobody). Two of them are told, so that a
 * crash of one costs no time. What is notified is delivered with the commit.
 */
inline look(targets) {
  if
  :: atomic { asleep == 0 && !tried -> tried = true };
    tried = false;
    targets = 0
  :: atomic { (asleep != 0 || tried) ->
      if
#ifdef ONE_TARGET
      :: asleep & 1 -> targets = 1
      :: asleep & 2 -> targets = 2
      :: asleep & 4 -> targets = 4
      :: asleep == 0 -> targets = 0
#elif defined(ALL_TARGETS)
      :: targets = asleep /* one channel for all */
#else
      :: asleep != 7 -> targets = asleep
      :: asleep == 7 -> targets = 3
      :: asleep == 7 -> targets = 5
      :: asleep == 7 -> targets = 6
#endif
      fi
    }
  fi
}
#define deliver(targets) notified = notified | (targets & alive); targets = 0

#define me (1 << w)
#define may_crash (crashes > 0 && alive != me)
#if STOPS > 0
#define or_stop :: atomic { stops > 0 && alive != me -> stops--; goto stop }
#else
#define or_stop
#endif

proctype Worker(byte w) {
  byte targets;
awake:
  if
  :: atomic { waiting > 0 -> waiting--; begin_transaction(CLAIM(w)); goto claim }
  :: waiting == 0
  :: atomic { may_crash -> goto crash }
  or_stop
  fi;

#ifdef BOUND_FIRST /* as one statement might: its bound is older than the lock that it takes */
  watch[w] = bound();
#endif
#ifdef TRY_ONLY
  if
  :: atomic { !tried -> asleep = asleep | me }
  :: tried
  fi;
#else
  atomic { !tried -> asleep = asleep | me }; /* pg_advisory_lock_shared waits for a producer that looks */
#endif
#ifndef BOUND_FIRST
  watch[w] = bound(); /* in a statement of its own */
#endif

  /* Poll again until all below the bound has ended, and once more then: a job of it is seen, or its producer saw us. */
  if
  :: atomic { waiting > 0 -> asleep = asleep & ~me; watch[w] = 0; goto awake }
#ifdef NO_REPOLL
  :: atomic { true -> watch[w] = 0; goto end_asleep }
#elif defined(POLL_FIRST)
  :: waiting == 0 -> watch[w] == 0; goto end_asleep
#else
  :: watch[w] == 0 /* pg_snapshot_xmin() has reached the bound */
#endif
  :: atomic { may_crash -> goto crash }
  fi;
  if
  :: atomic { waiting > 0 -> asleep = asleep & ~me; goto awake }
  :: waiting == 0
  :: atomic { may_crash -> goto crash }
  fi;

end_asleep:
  atomic {
    if
    :: notified & me -> notified = notified & ~me; asleep = asleep & ~me; goto awake
    :: may_crash -> goto crash
    or_stop
    fi
  };

claim:
  atomic {
    if
    :: end_transaction(CLAIM(w)) /* committed */
#ifdef BUSY
      ;
      if
      :: goto awake
      :: busy = busy | me /* no capacity left, for as long as it takes */
      fi
#else
      ;
      goto awake
#endif
    :: may_crash -> goto crash
    fi
  };

#ifdef PASS_ON
  /* Whoever has no capacity left wakes another one, and so does one that is told of a job and cannot take it. */
pass_on:
  look(targets);
  atomic { deliver(targets) };
#endif
end_busy:
#ifdef PASS_ON
  atomic { notified & me -> notified = notified & ~me; goto pass_on };
#else
  false;
#endif

#if STOPS > 0
stop: /* it gets up, and wakes another for what it was woken for and has not looked for */
  atomic {
    alive = alive & ~me;
    asleep = asleep & ~me;
    notified = notified & ~me;
    watch[w] = 0
  };
#ifndef NO_HAND_OVER
  look(targets);
  atomic { deliver(targets) };
#endif
  goto end_stopped;
#endif

crash: /* its session locks are gone; a claim in flight is rolled back when the server notices */
  atomic {
    crashes--;
    orphans = orphans | me;
    alive = alive & ~me;
    asleep = asleep & ~me;
    notified = notified & ~me;
    watch[w] = 0
  };
  if
  :: atomic { running & CLAIM(w) -> end_transaction(CLAIM(w)); waiting++ }
  :: !(running & CLAIM(w))
  fi;
end_stopped:
  skip
}

/* weir.enqueue in somebody's transaction: the row, and then the look. It may be rolled back. */
proctype Producer(byte p) {
  byte targets;
#ifdef LOOK_FIRST
  look(targets);
  atomic { begin_transaction(INSERT(p)) };
#else
  atomic { begin_transaction(INSERT(p)) };
  look(targets);
#endif
  atomic {
    end_transaction(INSERT(p));
    if
    :: waiting++; deliver(targets)
    :: targets = 0 /* rolled back, and the NOTIFY with it */
    fi
  }
}

/* A producer whose insert says nothing, and who tells after the commit. (Weir's library tells in the transaction.) */
proctype LibraryProducer() {
  byte targets;
  atomic { begin_transaction(INSERT(PRODUCERS)) };
  atomic {
    end_transaction(INSERT(PRODUCERS));
    if
    :: waiting++; due = true
    :: true
    fi
  };
  if
  :: atomic { due -> due = false };
    look(targets);
    atomic { deliver(targets) }
  :: atomic { due && crashes > 0 -> /* it dies between its commit and its word */
      crashes--;
      due = false;
#ifndef UNREGISTERED
      orphans = orphans | INSERT(PRODUCERS) /* a row of weir.process stands for it */
#endif
    }
  :: !due
  fi
}

/*
 * The verdict on a crashed process wakes a sleeper as well: what it had locked is waiting again, and nobody was told;
 * what it was told of, or was to tell of, nobody else knows. A wake-up before the roll-back does as well: who is woken
 * finds the transaction in progress in its snapshot.
 */
proctype Rescuer() {
  byte targets;
end:
  do
  :: orphans != 0 ->
    atomic { orphans = 0 };
#ifndef NO_RESCUE_WAKE
    look(targets);
    atomic { deliver(targets) }
#endif
  od
}

proctype Judge() {
end:
  timeout ->
  /* Whoever lives and is not busy sleeps by now: then nothing waits. */
  if
  :: (alive & ~busy) != 0 -> assert(waiting == 0)
  :: else
  fi;
  assert(running == 0 && !tried && (asleep & ~alive) == 0)
}

init {
  atomic {
    run Worker(0);
#if WORKERS > 1
    run Worker(1);
#endif
#if WORKERS > 2
    run Worker(2);
#endif
    run Producer(0);
#if PRODUCERS > 1
    run Producer(1);
#endif
    run LibraryProducer();
    run Rescuer();
    run Judge()
  }
}
