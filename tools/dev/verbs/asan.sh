# summary: run the tests under the address and undefined-behaviour sanitizers
# usage: ./dev asan [SUITE...] [[--filter] PATTERN]
#
# The arguments, the environment and the last line are those of ./dev test.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"
source "$WEIR_ROOT/tools/dev/lib/suites.sh"

parse_suite_arguments "$@"
packages build test model
build_tests asan
# Several times slower than without.
WEIR_TEST_TIMEOUT=${WEIR_TEST_TIMEOUT:-3600}
export ASAN_OPTIONS=halt_on_error=1:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
run_suites asan
