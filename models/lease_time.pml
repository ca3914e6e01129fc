/*
 * The clocks of a lease: a process that could not renew for 2/3 of it stops its work before another may start it.
 *
 * A model of the heartbeat in src/work. A tick is a third of the lease. Server and process each have a clock of their own,
 * and both run at the same rate. A renewal may take any time to the server and back, or be lost on either way.
 * The process asks its work to stop when 2/3 have passed, and it has ended within the last third: that is assumed, so a
 * process that is stopped as a whole (SIGSTOP) is not in here. Against that one only the fence helps (lease.pml).
 *
 * check holds:                                          -> holds
 * check from_answer:    FROM_ANSWER                     -> fails: !(working)
 * check no_margin:      MARGIN=3                        -> fails: !(working)
 */

#define LEASE 3
#ifndef MARGIN
#define MARGIN 2
#endif

byte left = LEASE;  /* lease_until - now(), on the server */
byte since;         /* on the process's clock, since it sent the last renewal that it knows to have succeeded */
byte age;           /* of the renewal in flight */
mtype = {none, sent, renewed, refused};
mtype renewal = none;
bool working = true, condemned;

active proctype Time() {
end:
  do
  :: atomic {
      !(working && since >= MARGIN) -> /* the work ends before the next third begins */
      left = (left > 0 -> left - 1 : 0);
      since = (since < LEASE -> since + 1 : LEASE);
      age = (renewal != none && age < LEASE -> age + 1 : age)
    }
  od
}

active proctype Process() {
end:
  do
  :: atomic { working && renewal == none -> renewal = sent; age = 0 }
#ifdef FROM_ANSWER
  :: atomic { renewal == renewed -> renewal = none; since = 0 }
#else
  :: atomic { renewal == renewed -> renewal = none; since = age }
#endif
  :: atomic { renewal == refused -> renewal = none; working = false }
  :: atomic { renewal != none && since >= 1 -> renewal = none } /* no answer: once more */
  :: atomic { working && since >= MARGIN -> working = false }
  od
}

active proctype Server() {
end:
  do
  :: atomic { renewal == sent && !condemned -> left = LEASE; renewal = renewed }
  :: atomic { renewal == sent && condemned -> renewal = refused }
  :: atomic { left == 0 && !condemned -> /* another process may start the work */
      condemned = true;
      assert(!working)
    }
  od
}
