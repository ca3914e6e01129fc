# summary: run every fuzz target for a while
# usage: ./dev fuzz [SECONDS]
#
# Each target test/fuzz/NAME_fuzz.cc runs for SECONDS (30), from the corpus test/fuzz/corpus/NAME_fuzz/ and what
# earlier runs have found (build/fuzz/corpus). An input that fails is left in build/fuzz/failures/.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"

seconds=${1:-30}
[[ $seconds =~ ^[0-9]+$ ]] || usage_error "'$seconds' is not a number of seconds"
packages build fuzz
if ! compgen -G "$WEIR_ROOT/test/fuzz/*_fuzz.cc" >/dev/null; then
  say "there is no fuzz target in test/fuzz/ yet"
  exit
fi
build fuzz

dir=$WEIR_ROOT/build/fuzz
mkdir -p "$dir/failures"
passed=0 failed=0
while read -r name; do
  found=$dir/corpus/$name given=$WEIR_ROOT/test/fuzz/corpus/$name
  mkdir -p "$found"
  folders=("$found")
  [[ -d $given ]] && folders+=("$given")
  say "$name for $seconds s"
  if "$dir/bin/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="$dir/failures/$name-" "${folders[@]}" >"$dir/$name.log" 2>&1 </dev/null; then
    sed -n 's/^stat::\(number_of_executed_units\|average_exec_per_sec\): */    \1: /p' "$dir/$name.log"
    passed=$((passed + 1))
  else
    cat "$dir/$name.log"
    failed=$((failed + 1))
  fi
done <"$dir/fuzz-targets.txt"
printf '%d passed, %d failed\n' "$passed" "$failed"
[[ $failed == 0 ]]
