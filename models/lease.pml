/*
 * Lease, fence and rescue: who may finish a job, and what becomes of the jobs of a process that is gone.
 *
 * A model of the SQL in src/schema/migrations/003_work.sql (weir.process) and 004_jobs.sql (weir.job, job_later,
 * job_dead, job_done, job_claim) and of the queries that src/work and src/queue run on them. README.md in this
 * folder says which part is which query, and what is left out.
 *
 * Every transaction is one atomic step at its commit. What holds a row lock across another process's steps has two:
 * one that takes the locks, one that commits. Time is the adversary's: a lease ends whenever that can hurt. It has
 * FAULTS faults to spend: a crash, a stop longer than the lease, a transaction that is rolled back, an answer that
 * is lost, a statement that arrives late, jobs handed back, a crash of the server.
 * Polling is a guard that blocks: what a timer would find in the end may go on. So every run ends, and `Judge` looks
 * at what it left.
 *
 * Each check is one run of spin (tools/check-models). What fails must fail with that text: the defence matters.
 *
 * check two_jobs:       FAULTS=1                        -> holds
 * check two_faults:     ONE_JOB RESCUERS=2 HANDLERS=1   -> holds
 * check one_process:    PROCESSES=1                     -> holds
 * check transactional:  PROCESSES=1 HANDLERS=2 FAULTS=1 -> holds
 * check server_crash:   ONE_JOB SERVER_CRASHES          -> holds
 * check two_slots:      PROCESSES=1 SLOTS=2 SERVER_CRASHES FAULTS=1 -> holds
 * check every_run_ends: cycles ONE_JOB HANDLERS=1       -> holds
 *
 * check no_process_check: NO_PROCESS_CHECK              -> fails: (final==3)
 * check plain_update:   PLAIN_UPDATE                    -> fails: (final==3)
 * check gone_too_early: GONE_BY_SKIP_LOCKED             -> fails: (final==3)
 * check no_rescue:      NO_RESCUE                       -> fails: (final==3)
 * check gives_up:       GIVES_UP                        -> fails: (final==3)
 * check no_fence:       NO_FENCE                        -> fails: (holder[j]==m_serial)
 * check no_settled:     NO_SETTLED                      -> fails: (holder[j]==m_serial)
 * check no_worker_fence: ID_FROM_SEQUENCE NO_WORKER_FENCE SERVER_CRASHES -> fails: (holder[j]==m_serial)
 * check id_from_sequence: ID_FROM_SEQUENCE PROCESSES=1 SLOTS=2 SERVER_CRASHES -> fails: (holder[j]==m_serial)
 * check copy_not_move:  COPY_NOT_MOVE                   -> fails: (((((waiting+later)+dead)+done)
 * check rescue_uncounted: RESCUE_UNCOUNTED              -> fails: attempt[0]>=counted[0]
 * check no_limit:       NO_LIMIT                        -> fails: (attempt[j]<2)
 * check effect_apart:   EFFECT_APART HANDLERS=1         -> fails: (effects[j]<=1)
 */

#ifndef PROCESSES
#define PROCESSES 2
#endif
#ifndef SLOTS
#define SLOTS 1 /* of each process; a slot has one claim at a time */
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#define WORKERS (PROCESSES * SLOTS)
#define IDS 4 /* of processes: whoever is lost comes back under a new one. PROCESSES + FAULTS at most */
#define JOBS 2
#define ALL 3 /* sets of jobs are bits */
#define ATTEMPTS 2
#ifndef RESCUERS
#define RESCUERS 1
#endif
#ifndef HANDLERS
#define HANDLERS 0 /* transactional ones */
#endif
#define NOBODY 255

/* Who may hold a row lock; 0 is nobody. */
#define LATE (WORKERS + 1)
#define RESCUER(n) (WORKERS + 2 + (n))
#define HANDLER(n) (WORKERS + 2 + RESCUERS + (n))

/* weir.job, weir.job_later, weir.job_dead and the finished ones: every job begins in weir.job. */
#ifdef ONE_JOB /* the other one is done already: room for one more fault */
byte waiting = 1, later, dead, done = 2;
#else
byte waiting = ALL, later, dead, done;
#endif
byte attempt[JOBS];  /* a column of each of these tables */
byte job_lock[JOBS]; /* FOR UPDATE on the row of weir.job */

/* weir.job_claim: a row with jobs == 0 is none. There are never more rows than jobs. */
typedef Claim {
  byte id;
  byte owner;   /* worker_id */
  byte jobs;    /* what it holds, and */
  byte settled; /* what of it is settled */
  byte serial;  /* not in the database: tells claims apart whatever their id */
  byte lock;
};
Claim claim[2];
/*
 * Serials that a row, a worker or a late statement still knows. One that nobody knows may be given out again: never
 * the same twice and never one that could be mistaken are the same thing, with far fewer states.
 */
#define SERIALS 6
byte known[SERIALS];

/* weir.process */
mtype = {none, live, condemned}; /* condemned: dead = true */
mtype process[IDS] = none;
bool expired[IDS]; /* lease_until < now */
byte key_share[IDS]; /* claims in flight that lock the row FOR KEY SHARE */
byte registered;
byte current[PROCESSES] = NOBODY; /* the id that a process runs under */

byte faults = FAULTS;

/* Not in the database: what must be true of it. */
byte holder[JOBS];      /* the serial of the claim that holds the job */
byte effects[JOBS];     /* of transactional handlers */
byte counted[JOBS];     /* starts that must have cost an attempt */

#ifdef SERVER_CRASHES
/* Claims commit with synchronous_commit = off: a crash of the server undoes those that no later flush made durable. */
bool unflushed[2];
#define flush() unflushed[0] = false; unflushed[1] = false; sequence_flushed = sequence
#define maybe_unflushed(row) if :: flush() :: unflushed[row] = true fi
#else
#define flush()
#define maybe_unflushed(row)
#endif
#ifdef ID_FROM_SEQUENCE
/* nextval() is no more durable than the transaction that called it. */
byte sequence, sequence_flushed;
#define next_id() sequence++; claim[row].id = sequence
#else
/* (worker_id, a number that the process counts itself): never the same twice. */
#ifdef SERVER_CRASHES
byte sequence, sequence_flushed;
#endif
#define next_id() claim[row].id = m_serial
#endif

#define held(row) (claim[row].jobs & ~claim[row].settled)
#define homes_or() (waiting | later | dead | done | held(0) | held(1))
#define homes_sum() (waiting + later + dead + done + held(0) + held(1))
/* Sets whose sum is their union share nothing. */
#define one_home() assert(homes_or() == ALL); assert(homes_sum() == ALL)
#define attempts_counted (attempt[0] >= counted[0] && attempt[1] >= counted[1])

#define delete_claim(row) \
  known[claim[row].serial]--; \
  claim[row].id = 0; claim[row].owner = 0; claim[row].jobs = 0; claim[row].settled = 0; claim[row].serial = 0

/* A failed attempt, or one that ended with its process. The job is in no table at this moment. */
#ifdef NO_LIMIT
#define exhausted(j) false
#else
#define exhausted(j) (attempt[j] >= ATTEMPTS)
#endif

inline count_attempt(j, home) {
  attempt[j]++;
  if
  :: exhausted(j) -> dead = dead | (1 << j)
  :: else -> home = home | (1 << j)
  fi
}

/*
 * Settle, first half: SELECT .. FROM weir.job_claim WHERE worker_id = .. AND number = .. FOR UPDATE. It waits for whoever
 * has the row, and then looks again. row == 2: there is none, so the lease was lost and the results are dropped.
 */
#ifdef NO_WORKER_FENCE
#define is_mine(row) (claim[row].jobs != 0 && claim[row].id == m_id)
#else
#define is_mine(row) (claim[row].jobs != 0 && claim[row].id == m_id && claim[row].owner == m_owner)
#endif

inline settle_lock(actor) {
  atomic {
    if
    :: is_mine(0) && claim[0].lock == 0 -> row = 0; claim[0].lock = actor
    :: is_mine(1) && claim[1].lock == 0 -> row = 1; claim[1].lock = actor
    :: !is_mine(0) && !is_mine(1) -> row = 2
    fi
  }
}

#ifdef NO_SETTLED
#define already(j) false
#else
#define already(j) (row < 2 && (claim[row].settled & (1 << j)))
#endif

/* Settle, second half: what is to be done with the jobs `m_part` of the claim, and the commit. */
inline settle_commit() {
  j = 0;
  do
  :: j < JOBS && (m_part & (1 << j)) && !already(j) ->
    /* The completion is accepted: of nobody but the claim that holds the job at this moment. */
    assert(holder[j] == m_serial);
    holder[j] = 0;
    if
    :: row < 2 -> claim[row].settled = claim[row].settled | (1 << j)
    :: else
    fi;
    if
    :: m_ok & (1 << j) -> done = done | (1 << j)
    :: m_failed & (1 << j) -> counted[j]++; count_attempt(j, later)
    :: else -> waiting = waiting | (1 << j) /* handed back, uncounted */
    fi;
    j++
  :: j < JOBS && !((m_part & (1 << j)) && !already(j)) -> j++
  :: j == JOBS -> break
  od;
  if
  :: row < 2 ->
    claim[row].lock = 0;
    if
    :: claim[row].settled == claim[row].jobs -> delete_claim(row)
    :: else
    fi
  :: else
  fi;
  flush();
  one_home();
  assert(attempts_counted);
  j = 0
}

/* A settle whose client is gone, or has lost patience and sent it again: it arrives when it likes. */
chan late_settle = [1] of {byte, byte, byte, byte, byte, byte};

proctype LateSettle() {
  byte m_id, m_owner, m_serial, m_ok, m_failed, m_part, row, j;
end:
  do
  :: late_settle ? m_id, m_owner, m_serial, m_ok, m_failed, m_part ->
    settle_lock(LATE);
    atomic {
      if
#ifdef NO_FENCE
      :: true -> settle_commit()
#else
      :: row < 2 && claim[row].lock == LATE -> settle_commit()
      :: else /* refused, or the server crashed */
#endif
      fi;
      known[m_serial]--;
      m_id = 0; m_owner = 0; m_serial = 0; m_ok = 0; m_failed = 0; m_part = 0; row = 0
    }
  od
}

#define free_jobs (((job_lock[0] == 0) + 2 * (job_lock[1] == 0)) & waiting)
#define unlock_jobs(actor) \
  if :: job_lock[0] == actor -> job_lock[0] = 0 :: else fi; \
  if :: job_lock[1] == actor -> job_lock[1] = 0 :: else fi
#define lock_jobs(actor, which) \
  if :: (which) & 1 -> job_lock[0] = actor :: else fi; \
  if :: (which) & 2 -> job_lock[1] = actor :: else fi
#define still_locked(actor) (job_lock[0] == actor || job_lock[1] == actor)

/* With the defence off, the claim looks at weir.job alone. */
#ifdef NO_PROCESS_CHECK
#define may_claim true
#define lock_process()
#define unlock_process()
#else
#define may_claim (process[me] == live)
#define lock_process() key_share[me]++
#define unlock_process() key_share[me]--
#endif

/* One slot of a worker process: claim, handler, settle. */
proctype Worker(byte w) {
  byte me, m_id, m_owner, m_serial, m_ok, m_failed, m_part, row, j;
  byte batch; /* what of the claim has no known outcome yet */

begin: /* a new process, or one that has lost its lease: a new row in weir.process */
  atomic {
    if
    :: current[w / SLOTS] != NOBODY && process[current[w / SLOTS]] == live /* another slot was faster */
    :: else ->
      current[w / SLOTS] = registered;
      process[registered] = live;
      registered++;
      flush()
    fi;
    me = current[w / SLOTS]
  }

end_idle:
  atomic {
    if
    :: process[me] != live || current[w / SLOTS] != me -> goto begin /* no row to renew, or none that a claim could lock */
    :: faults > 0 && process[me] == live -> faults--; goto crash
    :: may_claim && free_jobs -> /* DELETE FROM weir.job .. FOR UPDATE SKIP LOCKED, up to n of them */
      lock_process();
      if
      :: batch = free_jobs
      :: free_jobs == ALL -> batch = 1
      fi;
      lock_jobs(w + 1, batch)
    fi
  }

  atomic { /* the claim commits, or not */
    if
    :: still_locked(w + 1) ->
      unlock_jobs(w + 1);
      unlock_process();
      if
      :: faults > 0 -> faults--; batch = 0; goto crash
      :: true
      fi
    :: else -> batch = 0; goto end_idle /* the server crashed */
    fi;
    row = (claim[0].jobs == 0 -> 0 : 1);
    assert(claim[row].jobs == 0);
    m_serial = 1;
    do
    :: known[m_serial] > 0 -> m_serial++
    :: else -> break
    od;
    known[m_serial] = 2;
    next_id();
    claim[row].owner = me; claim[row].jobs = batch; claim[row].serial = m_serial;
    m_id = claim[row].id; m_owner = me;
#ifndef COPY_NOT_MOVE
    waiting = waiting & ~batch;
#endif
    j = 0;
    do
    :: j < JOBS && (batch & (1 << j)) -> assert(attempt[j] < ATTEMPTS); holder[j] = m_serial; j++
    :: j < JOBS && !(batch & (1 << j)) -> j++
    :: j == JOBS -> j = 0; break
    od;
    maybe_unflushed(row);
    row = 0;
    one_home()
  }

settle: /* the handler has run for some of the claim, or for the rest of it, and answered what it likes */
  if
  :: atomic { faults > 0 && process[me] == live && current[w / SLOTS] == me -> faults--; goto crash }
  :: atomic { process[me] != live -> goto lost } /* the heartbeat says so; until it does, the slot goes on */
  :: atomic {
      if
      :: m_part = batch
      :: batch == ALL -> m_part = 1
      :: batch == ALL -> m_part = 2
      fi;
      if
      :: m_ok = m_part
      :: m_ok = 0
      :: m_part == ALL -> m_ok = 1
      fi;
      m_failed = m_part & ~m_ok;
      if
      :: faults > 0 && m_failed -> faults--; m_failed = 0 /* the rest is handed back: the process drains */
      :: true
      fi
    };
sent:
    if
    :: atomic { faults > 0 && nfull(late_settle) ->
        faults--;
        known[m_serial]++;
        late_settle ! m_id, m_owner, m_serial, m_ok, m_failed, m_part;
        if
        :: goto sent /* in doubt: once more, on another connection, until there is an answer */
#ifdef GIVES_UP
        :: goto lost
#else
        :: current[w / SLOTS] == me -> goto crash
#endif
        fi
      }
    :: settle_lock(w + 1)
    fi;
    atomic {
      if
#ifdef NO_FENCE
      :: true ->
#else
      :: row == 2 -> goto lost /* refused: the results are dropped */
      :: row < 2 && claim[row].lock != w + 1 -> goto sent /* the server crashed: in doubt */
      :: row < 2 && claim[row].lock == w + 1 ->
#endif
        settle_commit();
        row = 0;
        if
        :: faults > 0 -> faults--; goto sent /* the answer is lost: in doubt, so once more */
        :: true
        fi;
        batch = batch & ~m_part;
        m_part = 0; m_ok = 0; m_failed = 0;
        if
        :: batch -> goto settle
        :: else
        fi
      fi
    }
  fi;

lost:
  atomic {
    known[m_serial]--;
    batch = 0; m_id = 0; m_owner = 0; m_serial = 0; m_ok = 0; m_failed = 0; m_part = 0; row = 0;
    goto end_idle
  }

crash: /* of the whole process: what it sent may still arrive (`late_settle`, and another slot's steps) */
  atomic {
    current[w / SLOTS] = NOBODY;
    if
    :: process[me] == live -> expired[me] = true
    :: else
    fi;
    if
    :: m_serial > 0 -> known[m_serial]--
    :: else
    fi;
    batch = 0; m_id = 0; m_owner = 0; m_serial = 0; m_ok = 0; m_failed = 0; m_part = 0; row = 0
  }
  goto begin
}

/*
 * The rescuer that every process has. A crash of it rolls its transaction back, and any other one goes on.
 * The verdict must conflict with the FOR KEY SHARE of a claim in flight. A plain UPDATE does not (it takes FOR NO KEY
 * UPDATE, as it changes no key): so the row is locked by SELECT .. FOR UPDATE first.
 */
#ifdef PLAIN_UPDATE
#define no_claim_in_flight(p) true
#else
#define no_claim_in_flight(p) (key_share[p] == 0)
#endif
#ifdef GONE_BY_SKIP_LOCKED
#define counts(row) (claim[row].lock == 0)
#else
#define counts(row) true
#endif
#define has_claim(p) \
  ((claim[0].jobs && claim[0].owner == p && counts(0)) || (claim[1].jobs && claim[1].owner == p && counts(1)))

#define verdict(p) atomic { \
  process[p] == live && expired[p] && no_claim_in_flight(p) -> process[p] = condemned; expired[p] = false; flush() }
/* DELETE .. WHERE dead AND NOT EXISTS (a claim of it): the look and the lock are two moments. */
#define forget(p) atomic { process[p] == condemned && !has_claim(p) -> gone = p }
#define orphan(k) (claim[k].jobs != 0 && claim[k].lock == 0 && process[claim[k].owner] == condemned)

proctype Rescuer(byte actor) {
  byte row, j, gone;
end:
  do
  :: verdict(0)
  :: verdict(1)
  :: verdict(2)
#if IDS > 3
  :: verdict(3)
#endif
  :: atomic {
#ifdef NO_RESCUE
      false;
#endif
      if /* FOR UPDATE SKIP LOCKED, one claim a transaction */
      :: orphan(0) -> row = 0
      :: orphan(1) -> row = 1
      fi;
      claim[row].lock = actor
    };
    atomic {
      if
      :: claim[row].lock == actor ->
        j = 0;
        do
        :: j < JOBS && (held(row) & (1 << j)) ->
          holder[j] = 0;
          counted[j]++;
          claim[row].settled = claim[row].settled | (1 << j);
#ifdef RESCUE_UNCOUNTED
          waiting = waiting | (1 << j);
#else
          count_attempt(j, waiting);
#endif
          j++
        :: j < JOBS && !(held(row) & (1 << j)) -> j++
        :: j == JOBS -> j = 0; break
        od;
        claim[row].lock = 0;
        delete_claim(row);
        flush();
        one_home();
        assert(attempts_counted)
      :: faults > 0 && claim[row].lock == actor -> faults--; claim[row].lock = 0 /* rolled back */
      :: claim[row].lock != actor /* the server crashed */
      fi;
      row = 0
    }
  :: if
    :: forget(0)
    :: forget(1)
    :: forget(2)
#if IDS > 3
    :: forget(3)
#endif
    fi;
    atomic { key_share[gone] == 0 -> process[gone] = none; flush(); gone = 0 }
  od
}

/* Moves what is due from weir.job_later into weir.job: one transaction, nobody else touches these rows. */
proctype Promoter() {
end:
  do
  :: atomic { later & 1 -> later = later & ~1; waiting = waiting | 1; flush(); one_home() }
  :: atomic { later & 2 -> later = later & ~2; waiting = waiting | 2; flush(); one_home() }
  od
}

/*
 * Transactional mode: the handler's transaction deletes the row, does its effect and commits both. It has no claim and
 * no lease: a stopped one keeps its row lock, and a crash leaves what was there before. So a crash costs no attempt.
 */
proctype TransactionalHandler(byte actor) {
  byte j;
end:
  do
  :: atomic {
      if
      :: free_jobs & 1 -> j = 0
      :: free_jobs & 2 -> j = 1
      fi;
      job_lock[j] = actor;
      assert(attempt[j] < ATTEMPTS)
    };
#ifdef EFFECT_APART
    atomic { job_lock[j] == actor -> effects[j]++; assert(effects[j] <= 1) };
#endif
    atomic {
      if
      :: job_lock[j] == actor ->
        job_lock[j] = 0;
        waiting = waiting & ~(1 << j);
        if
        :: done = done | (1 << j);
#ifndef EFFECT_APART
          effects[j]++;
          assert(effects[j] <= 1);
#endif
        :: counted[j]++; count_attempt(j, later) /* it failed: back to its savepoint, and the failure commits */
        fi;
        flush();
        one_home();
        assert(attempts_counted)
      :: faults > 0 && job_lock[j] == actor -> faults--; job_lock[j] = 0 /* rolled back */
      :: job_lock[j] != actor /* the server crashed */
      fi;
      j = 0
    }
  od
}

/* Stopped for longer than the lease: it may wake up in time to renew, or too late, in the middle of anything. */
#define stopped(p) atomic { \
  faults > 0 && process[p] == live && !expired[p] -> faults--; expired[p] = true }
#define runs_as(p) (current[0] == p || current[PROCESSES - 1] == p)
/* UPDATE weir.process SET lease_until = .. WHERE id = me AND NOT dead */
#define renews(p) atomic { expired[p] && process[p] == live && runs_as(p) -> expired[p] = false }

#ifdef SERVER_CRASHES
#define undo(row) \
  waiting = waiting | claim[row].jobs; \
  if :: claim[row].jobs & 1 -> holder[0] = 0 :: else fi; \
  if :: claim[row].jobs & 2 -> holder[1] = 0 :: else fi; \
  delete_claim(row)
#endif

proctype Adversary() {
end:
  do
  :: stopped(0)
  :: stopped(1)
  :: stopped(2)
  :: renews(0)
  :: renews(1)
  :: renews(2)
#if IDS > 3
  :: stopped(3)
  :: renews(3)
#endif
#ifdef SERVER_CRASHES
  :: atomic { faults > 0 -> /* transactions in flight are rolled back, and claims that were not flushed are undone */
      faults--;
      job_lock[0] = 0; job_lock[1] = 0;
      claim[0].lock = 0; claim[1].lock = 0;
      key_share[0] = 0; key_share[1] = 0; key_share[2] = 0;
#if IDS > 3
      key_share[3] = 0;
#endif
      if
      :: unflushed[0] -> undo(0)
      :: else
      fi;
      if
      :: unflushed[1] -> undo(1)
      :: else
      fi;
      sequence = sequence_flushed;
      flush();
      one_home()
    }
#endif
  od
}

/* When nothing more can happen: every job has an end, and nothing is left behind. */
proctype Judge() {
  byte final, p;
end:
  timeout ->
  final = done | dead;
  assert(final == ALL);
  assert(claim[0].jobs == 0 && claim[1].jobs == 0);
  assert(job_lock[0] == 0 && job_lock[1] == 0);
  p = 0;
  do
  :: p < IDS -> assert(process[p] != condemned && key_share[p] == 0); p++
  :: else -> break
  od;
  assert((dead & 1) == 0 || attempt[0] == ATTEMPTS);
  assert((dead & 2) == 0 || attempt[1] == ATTEMPTS);
  assert(!(effects[0] > 0) || (done & 1));
  assert(!(effects[1] > 0) || (done & 2))
}

init {
  atomic {
    run Worker(0);
#if PROCESSES * SLOTS > 1
    run Worker(1);
#endif
    run LateSettle();
    run Rescuer(RESCUER(0));
#if RESCUERS > 1
    run Rescuer(RESCUER(1));
#endif
    run Promoter();
#if HANDLERS > 0
    run TransactionalHandler(HANDLER(0));
#endif
#if HANDLERS > 1
    run TransactionalHandler(HANDLER(1));
#endif
    run Adversary();
    run Judge()
  }
}
