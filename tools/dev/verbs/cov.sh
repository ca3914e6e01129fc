# summary: run the tests and measure their coverage into build/cov/report
# usage: ./dev cov [SUITE...] [[--filter] PATTERN]
#
# Prints the table by file; build/cov/report/index.html shows the lines.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"
source "$WEIR_ROOT/tools/dev/lib/suites.sh"

parse_suite_arguments "$@"
packages build test cov model
build_tests cov
dir=$WEIR_ROOT/build/cov
find "$dir" -name '*.gcda' -delete
status=0
closing=$(run_suites cov) || status=$?

mkdir -p "$dir/report"
# Branches that only a thrown bad_alloc would take say nothing.
gcovr --root "$WEIR_ROOT" --object-directory "$dir" --filter "$(printf '%s' "$WEIR_ROOT" | sed 's/[^A-Za-z0-9/_-]/\\&/g')/(src|include)/" \
  --exclude-throw-branches --exclude-unreachable-branches -j "$(jobs)" \
  --html-details "$dir/report/index.html" --txt "$dir/report/summary.txt" "$dir"
cat "$dir/report/summary.txt"
printf '%s\n' "$closing"
exit "$status"
