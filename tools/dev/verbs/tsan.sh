# summary: run the tests under the thread sanitizer
# usage: ./dev tsan [SUITE...] [[--filter] PATTERN]
#
# The arguments, the environment and the last line are those of ./dev test.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"
source "$WEIR_ROOT/tools/dev/lib/suites.sh"

parse_suite_arguments "$@"
packages build test model
build_tests tsan
# Several times slower than without.
WEIR_TEST_TIMEOUT=${WEIR_TEST_TIMEOUT:-3600}
# second_deadlock_stack: a lock order inversion is of no use without the place of the other lock.
# die_after_fork: tests fork processes that start threads.
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:history_size=4:die_after_fork=0
# The sanitizer of g++ 12 cannot map its shadow where the kernel randomises addresses widely.
if setarch -R true 2>/dev/null; then
  run_under=(setarch -R)
fi
run_suites tsan
