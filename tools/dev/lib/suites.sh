# Running the test suites of a preset and counting.
# shellcheck shell=bash

all_suites=(compile_fail unit pg cli chaos embed imports model)
chosen_suites=()
filter='' pg_version=''
# A command in front of every test program; a verb may set it.
run_under=()

parse_suite_arguments() {
  while [[ $# -gt 0 ]]; do
    case $1 in
      --pg | --filter)
        [[ $# -gt 1 ]] || usage_error "$1 needs a value"
        if [[ $1 == --pg ]]; then pg_version=$2; else filter=$2; fi
        shift
        ;;
      --pg=*) pg_version=${1#*=} ;;
      --filter=*) filter=${1#*=} ;;
      -*) usage_error "unknown option '$1'" ;;
      *)
        if [[ " ${all_suites[*]} " == *" $1 "* ]]; then
          chosen_suites+=("$1")
        elif [[ -z $filter ]]; then
          filter=$1
        else
          usage_error "'$1' is no suite, and there is a pattern already"
        fi
        ;;
    esac
    shift
  done
  [[ -z $pg_version || $verb == test ]] || usage_error "--pg is for ./dev test"
  [[ -z $filter || $filter == *[*?:]* ]] || filter="*$filter*"
  # A pattern is about GoogleTest's names, so the other checks are left out.
  if [[ ${#chosen_suites[@]} == 0 ]]; then
    if [[ -n $filter ]]; then chosen_suites=(unit pg cli chaos); else chosen_suites=("${all_suites[@]}"); fi
  fi
}

# A build that fails is a failed run: it ends with the same line as any other.
build_tests() {
  suites_need_a_build || return 0
  (build "$1") || {
    printf '0 passed, 1 failed\n'
    exit 1
  }
}

# Whether a chosen suite needs more than spin.
suites_need_a_build() { [[ ${chosen_suites[*]} != model ]]; }

# Keeps the figures of a suite, or of one shard of it: NAME PASSED FAILED SKIPPED SECONDS
record() {
  printf '%d %d %d %s\n' "${@:2}" >"$results/$1.figures"
  if [[ $3 != 0 ]]; then printf '%s\n' "${red}failed${plain} $1: $2 passed, $3 failed ($5 s)" >&2
  else printf '%s\n' "${green}ok${plain}     $1: $2 passed ($5 s)" >&2; fi
}

# Adds a suite's figures, of all its shards, to the table. One that left none has failed.
tell_suite() {
  local suite=$1 part passed=0 failed=0 skipped=0 seconds=0 p f s t
  for part in $(parts_of "$suite"); do
    if ! read -r p f s t 2>/dev/null <"$results/$part.figures"; then p=0 f=1 s=0 t=0; fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    seconds=$(awk -v a="$seconds" -v b="$t" 'BEGIN { print (a > b ? a : b) }')
  done
  table+="$(printf '%-14s %8d %8d %8d %9s s' "$suite" "$passed" "$failed" "$skipped" "$seconds")"$'\n'
  total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed)) total_skipped=$((total_skipped + skipped))
}

# The suite with the most tests is divided: they wait for servers more than they compute. With a pattern it is not.
parts_of() {
  if [[ $1 == pg && $lanes -gt 1 && -z $filter ]]; then echo pg-1 pg-2; else echo "$1"; fi
}

run_part() {
  case $1 in
    compile_fail | embed | imports | model) run_check "$1" ;;
    pg-[12]) GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$((${1#pg-} - 1)) run_gtest pg "$1" ;;
    *) run_gtest "$1" "$1" ;;
  esac
}

# run_suites PRESET: runs the chosen ones and ends with the line "N passed, N failed[, N skipped]".
run_suites() {
  local preset=$1 dir=$WEIR_ROOT/build/$1 suite executed
  local table='' total_passed=0 total_failed=0 total_skipped=0 lanes=1 running=0 part present=()
  local results=$dir/results
  # Most tests wait for servers more than they compute.
  [[ $(nproc) -lt 2 ]] || lanes=2
  mkdir -p "$results"
  export CI=true WEIR_BINARY=$dir/bin/weir

  # Two runs at a time in one folder would overwrite each other's results.
  exec {results_lock}>"$results/.lock"
  flock --nonblock "$results_lock" || { say "waiting for another run of these tests"; flock "$results_lock"; }

  rm -f "$results"/*.figures
  for suite in "${chosen_suites[@]}"; do
    case $suite in
      compile_fail | embed | imports | model) present+=("$suite") ;;
      *) if grep -qx "$suite" "$dir/test-suites.txt"; then present+=("$suite"); fi ;;
    esac
  done
  trap 'kill $(jobs -p) 2>/dev/null || true; wait; exit 130' INT TERM HUP
  for suite in "${present[@]}"; do
    for part in $(parts_of "$suite"); do
      if ((running == lanes)); then
        wait -n || true
        running=$((running - 1))
      fi
      run_part "$part" &
      running=$((running + 1))
    done
  done
  wait
  trap - INT TERM HUP
  for suite in "${present[@]}"; do tell_suite "$suite"; done
  executed=$((total_passed + total_failed + total_skipped))

  printf '\n%-14s %8s %8s %8s %11s\n%s\n' suite passed failed skipped time "$table"
  # The import check alone is no test run.
  if [[ $executed == 0 || ($executed == 1 && ${#chosen_suites[@]} -gt 1 && $table == imports*) ]]; then
    printf '%s\n' "${red}no test was executed${plain}"
    total_failed=$((total_failed + 1))
  fi
  if [[ $total_skipped == 0 ]]; then
    printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  else
    printf '%d passed, %d failed, %d skipped\n' "$total_passed" "$total_failed" "$total_skipped"
  fi
  [[ $total_failed == 0 ]]
}

# The scripts under tools/ that are tests: they print PASS and FAIL lines.
run_check() {
  local name=$1 log=$results/$1.log began=$EPOCHREALTIME status=0 passed failed
  local command=("$WEIR_ROOT/tools/check-imports")
  if [[ $name == compile_fail ]]; then
    if ! compgen -G "$WEIR_ROOT/test/compile_fail/*.cc" >/dev/null; then
      echo 0 0 0 0 >"$results/$name.figures"
      return 0
    fi
    command=("$WEIR_ROOT/tools/compile-fail" "$dir")
  fi
  [[ $name != embed ]] || command=("$WEIR_ROOT/tools/check-embed" "$dir")
  [[ $name != model ]] || command=("$WEIR_ROOT/tools/check-models" "$dir")
  bounded "${command[@]}" >"$log" 2>&1 || status=$?
  passed=$(grep -c '^PASS ' "$log" || true)
  failed=$(grep -c '^FAIL ' "$log" || true)
  [[ $status == 0 || $failed != 0 ]] || failed=1
  [[ $failed == 0 ]] || grep -v '^PASS ' "$log" >&2 || true
  record "$name" "$passed" "$failed" 0 "$(elapsed "$began")"
}

# run_gtest SUITE NAME: the name is that of its files, and of its shard if it is one.
run_gtest() {
  local suite=$1 name=$2 log=$results/$2.log xml=$results/$2.xml began=$EPOCHREALTIME status=0
  local tests failed skipped why=''
  rm -f "$xml"
  bounded "${run_under[@]}" "$dir/bin/weir_${suite}_tests" "--gtest_output=xml:$xml" --gtest_color=no \
    "--gtest_filter=${filter:-*}" >"$log" 2>&1 || status=$?

  if [[ -s $xml ]] && grep -q '</testsuites>' "$xml"; then
    read -r tests failed skipped < <(xml_figures "$xml")
    if [[ $status != 0 && $failed == 0 ]]; then
      failed=1 why="all tests passed, but the program ended with status $status"
    elif [[ $status == 0 && $failed != 0 ]]; then
      why="the program ended with status 0 in spite of failures"
    elif ((status > 1)); then
      failed=$((failed + 1)) why="the program ended with status $status"
    fi
  else
    # It did not live to write its results: what it did before is in its output.
    skipped=$(grep -c '^\[  SKIPPED \] .* ms)$' "$log" || true)
    failed=$(($(grep -c '^\[  FAILED  \] .* ms)$' "$log" || true) + 1))
    tests=$(($(grep -c '^\[       OK \] ' "$log" || true) + failed + skipped))
    why="the program ended with status $status before its end"
  fi
  case $status in
    124 | 137) why="killed after ${WEIR_TEST_TIMEOUT:-1000} s" ;;
    13[0-9] | 14[0-9]) why="killed by signal SIG$(kill -l $((status - 128)))" ;;
  esac

  if [[ $failed != 0 ]]; then
    {
      printf '\n%s\n' "${red}--- $name${plain}"
      failed_output "$log"
      [[ -z $why ]] || printf '%s\n' "${red}$name: $why${plain}"
      printf 'All of its output: %s\n\n' "$log"
    } >&2
  fi
  record "$name" "$((tests - failed - skipped))" "$failed" "$skipped" "$(elapsed "$began")"
}

# Tests, failures and skipped tests in GoogleTest's XML. Only the inner elements count the skipped ones.
# A disabled test is a program for other tests to start, and not a test.
xml_figures() {
  sed -n 's/^ *<testsuite name="[^"]*" tests="\([0-9]*\)" failures="\([0-9]*\)" disabled="\([0-9]*\)" skipped="\([0-9]*\)" errors="\([0-9]*\)".*/\1 \2 \3 \4 \5/p' "$1" |
    awk '{ tests += $1 - $3; failed += $2 + $5; skipped += $4 } END { print tests + 0, failed + 0, skipped + 0 }'
}

# A program's output without what its passed tests printed. The block of a test that never ended is the last one.
failed_output() {
  awk '
    function flush() { printf "%s", block; block = "" }
    /^\[ RUN      \]/ { flush(); block = $0 "\n"; inside = 1; next }
    /^\[       OK \]|^\[  SKIPPED \] .* ms\)$/ && inside { block = ""; inside = 0; next }
    /^\[  FAILED  \] .* ms\)$/ && inside { block = block $0 "\n"; flush(); inside = 0; next }
    /^\[----------\]|^\[  PASSED  \]|^$/ && !inside { next }
    inside { block = block $0 "\n"; next }
    { print }
    END { flush() }' "$1"
}

# Runs a command for a bounded time, without standard input; the keyboard still interrupts it.
bounded() {
  local pid status watcher
  # The shell makes background commands ignore the keyboard's signals, and their children would inherit that.
  env --default-signal=INT,QUIT -u WEIR_TEST_TIMEOUT timeout --kill-after=15 "${WEIR_TEST_TIMEOUT:-1000}" "$@" </dev/null \
    {results_lock}>&- &
  pid=$!
  show_stacks_if_stuck "$pid" {results_lock}>&- &
  watcher=$!
  trap 'kill -TERM "$pid" "$watcher" 2>/dev/null || true; wait "$pid" || true; exit 130' INT TERM HUP
  status=0
  wait "$pid" || status=$?
  trap - INT TERM HUP
  kill -TERM "$watcher" 2>/dev/null || true
  wait "$watcher" || true
  return "$status"
}

# show_stacks_if_stuck TIMEOUT_PID: shortly before the time is up, prints where each thread of the program stands.
show_stacks_if_stuck() {
  local limit=${WEIR_TEST_TIMEOUT:-1000} program
  trap 'kill "$!" 2>/dev/null || true; exit 0' TERM
  sleep "$((limit > 20 ? limit - 10 : 10))" &
  wait "$!"
  for program in $(pgrep -P "$1"); do
    printf '\n%s\n' "Almost out of time. What the threads of process $program are doing:"
    timeout 9 eu-stack -m -p "$program" 2>&1 || true
  done
}
