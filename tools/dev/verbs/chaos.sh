# summary: worker processes under kill -9, freezes, cuts and server crashes; the last line has the figures
# usage: ./dev chaos [--minutes N] [--seed S] [--jobs J] [--kills K]
#
# For N minutes (1) eight workers on J jobs (100000) are disturbed at random, then they finish, and what they wrote down
# is judged by tools/check-history. For N minutes each before that: four schedulers and eight workers of pipelines, judged by
# the history of their runs, and thousands of tasks that fan out, fan in and are cancelled; producers and consumers of streams,
# by comparing what was produced and applied; six consumers of 2,000 groups with 20 batches each, by their history; six
# workers on queues with limits, by what ran when (tools/check-limits). And K (60)
# loads are killed at random places, and rows, rejects and state are compared. Ends non-zero on any breach. The same S chooses
# the same faults.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"

minutes=1 seed='' chaos_jobs=100000 kills=60
while [[ $# -gt 0 ]]; do
  case $1 in
    --minutes | --seed | --jobs | --kills)
      [[ ${2:-} =~ ^[0-9]+$ ]] || usage_error "$1 needs a number"
      case $1 in --minutes) minutes=$2 ;; --seed) seed=$2 ;; --jobs) chaos_jobs=$2 ;; --kills) kills=$2 ;; esac
      shift
      ;;
    *) usage_error "unknown option '$1'" ;;
  esac
  shift
done

packages build test
build dev weir weir_chaos_tests
log=$WEIR_ROOT/build/dev/chaos.log
export WEIR_CHAOS_JOBS=$chaos_jobs WEIR_CHAOS_SECONDS=$((minutes * 60)) WEIR_CHAOS_SEED=$seed WEIR_CHAOS_KILLS=$kills WEIR_CHAOS_GROUPS=2000 WEIR_CROWD_FULL=1
status=0
"$WEIR_ROOT/build/dev/bin/weir_chaos_tests" --gtest_filter='LoadChaosTest.*:PipelineChaosTest.*:PipelineCrowd.*:StreamChaosTest.*:GroupChaosTest.*:LimitChaosTest.*:QueueChaosTest.*' --gtest_color=no >"$log" 2>&1 </dev/null || status=$?
[[ $status == 0 ]] || cat "$log" >&2
grep '^chaos: ' "$log" || { printf 'chaos: it broke off, see %s\n' "$log"; status=1; }
exit "$status"
