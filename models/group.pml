/*
 * Groups: who has one, who may write what became of its batches, and who takes over from an owner that is gone.
 *
 * A model of the SQL in src/schema/migrations/022_group_consumers.sql, of its queries (src/schema/queries/groups.sql) and of the
 * order in which src/group runs them. README.md in this folder says which part is which, and what is left out.
 *
 * One group, one run of two batches, a consumer or two for each sink. Every transaction is one atomic step at its
 * commit: they all lock the group's row of weir.group_hold first. Two of them hold that lock across the steps of others:
 * a batch that is applied INSIDE its own transaction, and recovery. Time is the adversary's. It has FAULTS faults to
 * spend: a crash or the loss of a session, which leaves a statement behind that is executed now, later or never
 * (`Backend`); a stop longer than the lease, with late writes after it; a recovery that is rolled back; a batch that is
 * handed back. For an owner by lock a stop is the loss of his session (hang_up_frozen_owners). That a sink fails is no
 * fault: it may, each time.
 * Polling is a guard that blocks. So every run ends, and `Judge` looks at what it left.
 *
 * BY_LOCK is the set of consumers that own by advisory lock, as bits; the others own by lease. INSIDE: the sinks work in the
 * transaction that their status is written in.
 *
 * check lease_outside:  quick BY_LOCK=0 FAULTS=1              -> holds
 * check lock_outside:   quick BY_LOCK=3 FAULTS=1              -> holds
 * check mixed_outside:  ONE_BATCH                             -> holds
 * check lease_inside:   quick INSIDE BY_LOCK=0 FAULTS=1       -> holds
 * check lock_inside:    quick INSIDE BY_LOCK=3 FAULTS=1       -> holds
 * check mixed_inside:   INSIDE                                -> holds
 * check second_sink:    quick SINKS=2 FAULTS=1                -> holds
 * check second_inside:  quick SINKS=2 INSIDE BY_LOCK=1 FAULTS=1 -> holds
 * check late_submit:    quick PRODUCER RECOVERIES=2 FAULTS=1  -> holds
 * check no_expiry_check: quick NO_EXPIRY_CHECK FAULTS=1       -> holds
 * check every_run_ends: cycles quick FAULTS=1                 -> holds
 *
 * check no_owner_check: NO_OWNER_CHECK BY_LOCK=0              -> fails: (hold[s].owner==
 * check same_name:      SAME_NAME BY_LOCK=0                   -> fails: (hold[s].batch==m_batch)
 * check keeps_name:     KEEPS_NAME BY_LOCK=0                  -> fails: (hold[s].batch==m_batch)
 * check no_step_check:  NO_STEP_CHECK SINKS=2                 -> fails: not_over
 * check not_looked_up_again: NOT_LOOKED_UP_AGAIN FAULTS=0     -> fails: not_over
 * check counted_after:  COUNTED_AFTER                         -> fails: (begins[
 * check releases_blindly: RELEASES_BLINDLY GIVES_BACK_IN_TWO FAULTS=1 -> fails: traced
 * check lock_is_enough: LOCK_IS_ENOUGH FAULTS=0               -> fails: traced
 * check no_recovery:    NO_RECOVERY FAULTS=1                  -> fails: all_ended
 * check no_probe:       NO_PROBE FAULTS=0                     -> fails: (losses<=
 * check looks_without_lock: LOOKS_WITHOUT_LOCK RECOVERIES=2 ONE_BATCH BY_LOCK=0 FAULTS=1 -> fails: (losses<=
 * check no_pin:         NO_PIN INSIDE BY_LOCK=0 FAULTS=0      -> fails: (losses<=
 * check no_savepoint:   NO_SAVEPOINT INSIDE BY_LOCK=0 FAULTS=0 -> fails: (losses<=
 * check blames_what_executes: BLAMES_WHAT_EXECUTES FAULTS=1   -> fails: blamed
 * check commits_refused: COMMITS_REFUSED SINKS=2 INSIDE FAULTS=0 -> fails: (effects[
 */

#ifndef SINKS
#define SINKS 1 /* the second one follows the first */
#endif
#ifndef CONSUMERS
#define CONSUMERS 2 /* consumer c has sink c % SINKS */
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef BY_LOCK
#define BY_LOCK 2
#endif
#ifndef RECOVERIES
#define RECOVERIES 1
#endif
#define BATCHES 2
#define ATTEMPTS 2
#define NONE 255

/* Who may hold the row lock of a hold, or the advisory lock; 0 is nobody. Consumer c is c + 1. */
#define BACKEND 8
#define RECOVERY 9

mtype = {pending, executing, waiting_retry, succeeded, failed}; /* 0: not submitted */
mtype = {retry, returned};                                      /* outcomes, with succeeded and failed */
mtype = {begun, none, lost};                                    /* what begin_batch answers */
mtype = {to_take, to_begin, to_end, to_commit, to_release};     /* statements */

/* weir.batch_step; one that has succeeded or failed is no row, and a row of weir.batch_attempt instead */
#define at(s, b) ((s) * BATCHES + (b))
mtype state[SINKS * BATCHES];
byte attempt[SINKS * BATCHES];

/* weir.batch_turn */
byte next[SINKS];
bool run_failed[SINKS];

/* weir.group_hold: a row without an owner is none. */
typedef Hold {
  byte owner;
  bool by_lock; /* lock_key IS NOT NULL */
  bool expired; /* expires_at <= now */
  byte batch;   /* with its run; NONE between two */
  byte attempt;
  byte lock;    /* the row lock */
};
Hold hold[SINKS];
byte advisory[SINKS];

/*
 * Owners' names: a new one for each take. What nobody knows any more may be given out again: never the same twice and
 * never one that could be mistaken are the same thing, with far fewer states.
 */
#define NAMES 8
byte known[NAMES];
byte name[CONSUMERS]; /* under which a consumer works */

byte faults = FAULTS;

/* Not in the database: what must be true of it. */
byte begins[SINKS * BATCHES];  /* attempts, without those that were handed back */
bool applied[SINKS * BATCHES]; /* OUTSIDE: the sink has it */
byte effects[SINKS * BATCHES]; /* INSIDE: committed */
byte losses;                   /* attempts that recovery has ended */

/* Long conditions by name, so that a check can tell which one it breaks. */
bool traced, not_over, all_ended, blamed;
#define must_be(what, condition) what = (condition); assert(what); what = false

#define uses_lock (((BY_LOCK) >> c) & 1)

#define open(s, b) (state[at(s, b)] == pending || state[at(s, b)] == executing || state[at(s, b)] == waiting_retry)
#define head(s) (open(s, 0) -> 0 : (open(s, 1) -> 1 : NONE))

/* What is said to be there, is: once, or at least once. */
#ifdef INSIDE
#define has_it(s, b) true
#else
#define has_it(s, b) applied[at(s, b)]
#endif

/* A batch that executes is in the hold of its group: whoever clears that away knows what to do. */
#define in_hold(s, b) (hold[s].owner != 0 && hold[s].batch == (b) && hold[s].attempt == attempt[at(s, b)])
#define is_traced(s) \
  ((state[at(s, 0)] != executing || in_hold(s, 0)) && (state[at(s, 1)] != executing || in_hold(s, 1)))

/* weir.own_hold() */
#ifdef NO_OWNER_CHECK
#define is_owner(s, token) (hold[s].owner != 0)
#else
#define is_owner(s, token) (hold[s].owner == (token))
#endif
#ifdef NO_EXPIRY_CHECK
#define own(s, token) is_owner(s, token)
#else
#define own(s, token) (is_owner(s, token) && (hold[s].by_lock || !hold[s].expired))
#endif

inline clear_hold(s) {
  known[hold[s].owner]--;
  hold[s].owner = 0; hold[s].by_lock = false; hold[s].expired = false; hold[s].batch = NONE; hold[s].attempt = 0
}

/* weir.take_group() */
inline take_group(s, token, with_lock, yes) {
  yes = (hold[s].owner == 0);
  if
#ifdef LOCK_IS_ENOUGH
  :: !yes && with_lock && hold[s].lock == 0 -> clear_hold(s); hold[s].owner = token; hold[s].by_lock = true; known[token]++; yes = true
#endif
  :: yes ->
    hold[s].owner = token; hold[s].by_lock = with_lock; hold[s].expired = false;
    known[token]++
  :: else
  fi
}

/* The row of weir.batch_step is gone. */
#define conclude(s, b, how) \
  begins[at(s, b)] = 0; applied[at(s, b)] = false; \
  attempt[at(s, b)] = 0; \
  state[at(s, b)] = how

/* weir.fail_batch_run(): here and at the sinks behind. Never a word about what has ended. */
inline fail_step(s, b) {
  if
  :: open(s, b) -> conclude(s, b, failed)
  :: else
  fi
}
inline fail_batch_run(s) {
  fail_step(s, 0); fail_step(s, 1);
  run_failed[s] = true;
#if SINKS > 1
  if
  :: s == 0 -> fail_step(1, 0); fail_step(1, 1); run_failed[1] = true
  :: else
  fi
#endif
}

/* weir.begin_batch(): the head is looked up by the owner, under the lock of his row. */
inline begin_batch(s, token, answer, b) {
  if
  :: !own(s, token) -> answer = lost
  :: else ->
    do
    :: head(s) == NONE -> answer = none; break
    :: head(s) != NONE && (run_failed[s] || (state[at(s, head(s))] == waiting_retry && attempt[at(s, head(s))] >= ATTEMPTS)) ->
      fail_batch_run(s)
    :: else ->
      b = head(s);
      if
      :: state[at(s, b)] == executing || b > next[s] -> answer = none
      :: else ->
        begin_step(s, b);
        answer = begun
      fi;
      break
    od
  fi
}

inline begin_step(s, b) {
  must_be(not_over, open(s, b));
  state[at(s, b)] = executing;
#ifndef COUNTED_AFTER
  attempt[at(s, b)]++;
#endif
  begins[at(s, b)]++;
  assert(begins[at(s, b)] <= ATTEMPTS);
  hold[s].batch = b; hold[s].attempt = attempt[at(s, b)]; hold[s].expired = false
}

#ifdef NO_STEP_CHECK
#define executes(s) true
#else
#define executes(s) (state[at(s, hold[s].batch)] == executing && attempt[at(s, hold[s].batch)] == hold[s].attempt)
#endif

#define is_executed(s) (hold[s].batch != NONE && executes(s))

/* It was not the batch's fault: the attempt does not count. */
inline hand_back(s) {
  state[at(s, hold[s].batch)] = pending;
  attempt[at(s, hold[s].batch)]--;
  begins[at(s, hold[s].batch)]--
}

/*
 * weir.end_batch(): it is not told which batch has ended. That is what the hold says, so it is only right as long as an owner's
 * name is used by one, who sends one statement after the other. m_batch and m_attempt are what the sender means.
 */
inline end_batch(s, token, outcome, m_batch, m_attempt, yes) {
  yes = false;
  if
  :: own(s, token) && is_executed(s) ->
    assert(hold[s].owner == token);
    assert(outcome == returned || (hold[s].batch == m_batch && hold[s].attempt == m_attempt));
    must_be(not_over, open(s, hold[s].batch));
    if
    :: outcome == succeeded ->
      assert(next[s] == hold[s].batch); /* in order, and none is left out */
      assert(has_it(s, hold[s].batch));
      next[s] = hold[s].batch + 1;
#if SINKS > 1
      if
      :: s == 0 -> assert(state[at(1, hold[s].batch)] == 0); state[at(1, hold[s].batch)] = pending
      :: else
      fi;
#endif
      conclude(s, hold[s].batch, succeeded)
    :: outcome == retry ->
      state[at(s, hold[s].batch)] = waiting_retry;
#ifdef COUNTED_AFTER
      attempt[at(s, hold[s].batch)]++
#endif
    :: outcome == failed -> fail_batch_run(s)
#ifndef INSIDE
    :: outcome == returned -> hand_back(s)
#endif
    fi;
    hold[s].batch = NONE; hold[s].attempt = 0; hold[s].expired = false;
    yes = true
  :: else
  fi
}

/* The end of a transaction that applies a batch INSIDE. pin_group() holds the row's lock in it. */
inline commit_batch(s, token, outcome, m_batch, m_attempt, yes) {
#ifndef NO_PIN
  hold[s].expired = false;
#endif
  end_batch(s, token, outcome, m_batch, m_attempt, yes);
  if
#ifdef COMMITS_REFUSED
  :: outcome == succeeded -> effects[at(s, m_batch)]++
#else
  :: outcome == succeeded && yes -> effects[at(s, m_batch)]++
#endif
  :: else
  fi;
  assert(effects[at(s, m_batch)] <= 1);
  hold[s].lock = 0
}

/* release_group */
#ifdef RELEASES_BLINDLY
#define may_release(s, token) (hold[s].owner == token)
#else
#define may_release(s, token) (hold[s].owner == token && hold[s].batch == NONE)
#endif
inline release_group(s, token) {
  if
  :: may_release(s, token) -> clear_hold(s)
  :: else
  fi
}

/* A session whose client is gone, with the statement that was sent last: it is executed some time, or never. */
proctype Backend(byte what, s, token, outcome, m_batch, m_attempt; bool locked) {
  bool yes;
  mtype answer;
  atomic {
    if
#ifdef INSIDE
    :: what == to_commit -> hold[s].lock = 0 /* rolled back */
    :: what == to_commit -> commit_batch(s, token, outcome, m_batch, m_attempt, yes)
#else
    :: what == to_end && hold[s].lock == 0 -> end_batch(s, token, outcome, m_batch, m_attempt, yes)
#endif
    :: what != to_commit
    :: what == to_take -> take_group(s, token, locked, yes)
    :: what == to_begin && hold[s].lock == 0 -> begin_batch(s, token, answer, m_batch)
    :: what == to_release && hold[s].lock == 0 -> release_group(s, token)
    fi;
    if
    :: locked -> advisory[s] = 0
    :: else
    fi;
    known[token]--;
    s = 0; token = 0; m_batch = 0; m_attempt = 0; yes = false
  }
}

#define lose(what) \
  faults--; \
  known[name[c]]++; \
  if :: advisory[s] == c + 1 -> advisory[s] = BACKEND :: else fi; \
  run Backend(what, s, name[c], outcome, m_batch, m_attempt, uses_lock)

/* A group that nobody has, whose head can be applied now (weir.ready_groups()). */
#define candidate(s) (hold[s].owner == 0 && head(s) != NONE && (head(s) <= next[s] || run_failed[s]))

proctype Consumer(byte c) {
  byte s, b, m_batch, m_attempt;
  bool yes;
  byte outcome;
  mtype answer;
  s = c % SINKS;
  m_batch = NONE;

end_idle:
  atomic {
    candidate(s);
#ifdef NOT_LOOKED_UP_AGAIN
    m_batch = head(s);
#endif
#ifdef SAME_NAME
    name[c] = 1;
#else
    name[c] = 1;
    do
    :: known[name[c]] > 0 -> name[c]++
    :: else -> break
    od;
#endif
    known[name[c]]++
  }
  if
  :: uses_lock ->
    atomic {
      if
      :: advisory[s] == 0 -> advisory[s] = c + 1
      :: advisory[s] != 0 && hold[s].owner != 0 -> goto gone
      fi
    }
  :: else
  fi;
  atomic {
    if
    :: faults > 0 -> lose(to_take); goto broken
    :: take_group(s, name[c], uses_lock, yes);
      if
      :: yes -> yes = false
      :: else -> goto gone
      fi
    fi
  }

next_batch:
  atomic {
    hold[s].lock == 0;
    if
    :: faults > 0 -> lose(to_begin); goto broken
    :: true
    fi;
#ifdef NOT_LOOKED_UP_AGAIN
    if
    :: m_batch != NONE -> begin_step(s, m_batch); answer = begun
    :: else -> begin_batch(s, name[c], answer, m_batch)
    fi;
#else
    begin_batch(s, name[c], answer, m_batch);
#endif
    must_be(traced, is_traced(s));
    if
    :: answer == begun -> m_attempt = hold[s].attempt
    :: answer == none -> goto give_up
    :: answer == lost -> goto gone
    fi;
    answer = 0
  }
#ifdef INSIDE
  goto apply_inside;
#else
  /* The sink works, and the lease is renewed: or it is not (`Time`). */
  atomic {
    if
    :: outcome = succeeded; applied[at(s, m_batch)] = true
    :: outcome = (m_attempt < ATTEMPTS -> retry : failed)
    :: faults > 0 -> faults--; outcome = returned
    fi
  }
#endif
#if !defined(INSIDE) || defined(NO_SAVEPOINT)
tell:
  atomic {
    hold[s].lock == 0;
    if
#ifdef KEEPS_NAME
    :: faults > 0 -> lose(to_end); goto tell /* again, by another session */
#endif
    :: faults > 0 -> lose(to_end); goto broken
    :: end_batch(s, name[c], outcome, m_batch, m_attempt, yes)
    fi;
    must_be(traced, is_traced(s));
    goto ended
  }
#endif

#ifdef INSIDE
apply_inside: /* BEGIN; pin_group(); the sink; end_batch(); COMMIT */
  atomic {
    hold[s].lock == 0;
    if
    :: !own(s, name[c]) -> goto gone
    :: else
    fi;
#ifndef NO_PIN
    hold[s].lock = c + 1;
#endif
    if
    :: !uses_lock -> hold[s].expired = true /* it may last as long as it likes: nobody can renew the lease */
    :: true
    fi;
    if
    :: outcome = succeeded
    :: outcome = (m_attempt < ATTEMPTS -> retry : failed) /* undone to a savepoint, and the pin with the rest kept */
    fi
  }
  atomic {
#ifdef NO_PIN
    hold[s].lock == 0;
#endif
    if
    :: faults > 0 -> lose(to_commit); goto broken
#ifdef NO_SAVEPOINT
    :: outcome != succeeded -> hold[s].lock = 0; goto tell
    :: outcome == succeeded ->
#else
    :: true ->
#endif
      commit_batch(s, name[c], outcome, m_batch, m_attempt, yes)
    fi;
    must_be(traced, is_traced(s))
  }
#endif

ended:
  atomic {
    if
    :: !yes -> goto gone
    :: yes && outcome == succeeded -> yes = false; outcome = 0; m_attempt = 0; m_batch = NONE; goto next_batch
    :: else -> yes = false; outcome = 0; m_attempt = 0; m_batch = NONE
    fi
  }

give_up: /* in order: the row, and the lock with it: in between the row is locked */
  atomic {
    hold[s].lock == 0;
    answer = 0;
    if
    :: faults > 0 -> lose(to_release); goto broken
    :: release_group(s, name[c])
    fi;
    must_be(traced, is_traced(s));
    goto gone
  }

broken:
  atomic { outcome = 0; answer = 0 }
  /* the session is of no use. A process that lives may give its group back by another one: weir.give_back_group() */
  if
  :: atomic {
      hold[s].lock == 0 && hold[s].owner == name[c];
      if
      :: own(s, name[c]) && is_executed(s) ->
        if
        :: hand_back(s)
#ifndef BLAMES_WHAT_EXECUTES
        :: hold[s].batch == m_batch && hold[s].attempt == m_attempt ->
#else
        :: true -> /* end_batch() by its own: the answer that was lost may have been of the batch before */
#endif
          must_be(blamed, hold[s].batch == m_batch && hold[s].attempt == m_attempt);
          state[at(s, hold[s].batch)] = waiting_retry
        fi;
        hold[s].batch = NONE; hold[s].attempt = 0; hold[s].expired = false
      :: else
      fi;
#ifdef GIVES_BACK_IN_TWO
      must_be(traced, is_traced(s))
    };
    atomic {
      hold[s].lock == 0;
#endif
      release_group(s, name[c]);
      must_be(traced, is_traced(s))
    }
  :: true
  fi;
  atomic { m_attempt = 0; m_batch = NONE }

gone: /* whoever works on does it under another name */
  atomic {
    if
    :: advisory[s] == c + 1 -> advisory[s] = 0
    :: else
    fi;
    known[name[c]]--;
    name[c] = 0; b = 0; m_batch = NONE; m_attempt = 0; yes = false; answer = 0; outcome = 0
  }
  goto end_idle
}

#if CONSUMERS > 1
#define lives(s) (hold[s].owner == name[0] || hold[s].owner == name[1])
#else
#define lives(s) (hold[s].owner == name[0])
#endif

/* A lease runs out when nobody renews it; when its owner is stopped that is a fault. */
proctype Time(byte s) {
end:
  do
  :: atomic { hold[s].owner != 0 && !hold[s].by_lock && !hold[s].expired && !lives(s) -> hold[s].expired = true }
  :: atomic { hold[s].owner != 0 && !hold[s].by_lock && !hold[s].expired && lives(s) && faults > 0 ->
      faults--; hold[s].expired = true }
  od
}

/* weir.recover_groups() */
#ifdef NO_PROBE
#define is_gone(s) (hold[s].owner != 0 && (hold[s].by_lock || hold[s].expired))
#else
#define is_gone(s) (hold[s].owner != 0 && (hold[s].by_lock -> advisory[s] == 0 : hold[s].expired))
#endif

proctype Recovery(byte s) {
end:
  do
  :: atomic {
      is_gone(s) && hold[s].lock == 0; /* FOR UPDATE SKIP LOCKED */
#ifndef LOOKS_WITHOUT_LOCK
      hold[s].lock = RECOVERY;
      if
      :: hold[s].by_lock && advisory[s] == 0 -> advisory[s] = RECOVERY
      :: else
      fi
#endif
    };
    atomic {
#ifdef LOOKS_WITHOUT_LOCK
      hold[s].lock == 0;
#endif
      if
      :: faults > 0 -> faults--
      :: hold[s].owner != 0 ->
        if
        :: is_executed(s) ->
          losses++;
          assert(losses <= FAULTS - faults);
          state[at(s, hold[s].batch)] = waiting_retry;
          if
          :: attempt[at(s, hold[s].batch)] >= ATTEMPTS -> fail_batch_run(s)
          :: else
          fi
        :: else
        fi;
        clear_hold(s);
        must_be(traced, is_traced(s))
#ifdef LOOKS_WITHOUT_LOCK
      :: hold[s].owner == 0
#endif
      fi;
      if
      :: hold[s].lock == RECOVERY -> hold[s].lock = 0
      :: else
      fi;
      if
      :: advisory[s] == RECOVERY -> advisory[s] = 0
      :: else
      fi
    }
  od
}

#ifdef PRODUCER
/* weir.submit_batch(): in any order; also to a run that has failed meanwhile. */
proctype Producer() {
end:
  do
  :: atomic { state[at(0, 0)] == 0 -> state[at(0, 0)] = pending }
  :: atomic { state[at(0, 1)] == 0 -> state[at(0, 1)] = pending }
  od
}
#endif

/* When nothing more can happen: every batch has an end, and nothing is left behind. */
#define ended(s, b) (state[at(s, b)] == succeeded || state[at(s, b)] == failed)
#ifdef INSIDE
#define is_right(s, b) (effects[at(s, b)] == (state[at(s, b)] == succeeded))
#else
#define is_right(s, b) true
#endif

proctype Judge() {
end:
  timeout ->
  must_be(all_ended, ended(0, 0) && ended(0, 1));
  assert(is_right(0, 0) && is_right(0, 1));
  assert(hold[0].owner == 0 && hold[0].lock == 0 && advisory[0] == 0);
  assert(next[0] == (state[at(0, 0)] == succeeded) + (state[at(0, 1)] == succeeded));
#if SINKS > 1
  must_be(all_ended, ended(1, 0) == (state[at(1, 0)] != 0) && ended(1, 1) == (state[at(1, 1)] != 0));
  assert(is_right(1, 0) && is_right(1, 1));
  assert(hold[1].owner == 0 && hold[1].lock == 0 && advisory[1] == 0);
#endif
}

init {
  atomic {
    hold[0].batch = NONE;
#if SINKS > 1
    hold[1].batch = NONE;
    run Time(1);
    run Recovery(1);
#endif
#ifdef PRODUCER
    run Producer();
#else
#ifdef ONE_BATCH
    state[at(0, 0)] = succeeded;
    next[0] = 1;
    effects[at(0, 0)] = 1;
#else
    state[at(0, 0)] = pending;
#endif
    state[at(0, 1)] = pending;
#endif
    run Time(0);
#ifndef NO_RECOVERY
    run Recovery(0);
#endif
#if RECOVERIES > 1
    run Recovery(0);
#endif
    run Consumer(0);
#if CONSUMERS > 1
    run Consumer(1);
#endif
    run Judge()
  }
}
