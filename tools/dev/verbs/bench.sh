# summary: run the benchmarks
# usage: ./dev bench [NAME[.PART]] [--json]
#
# Without a name all of them run; queue.idle is one part of the suite queue. Only when they are named run queue.peers, which
# installs other queues from npm, pipeline.acceptance, which makes gigabytes of history and takes six minutes,
# stream.long, with 50 million events, and group.long, with 10 million batches of history. --json prints one JSON document, otherwise Markdown.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"

packages build bench
enable release WEIR_BENCH
if ! compgen -G "$WEIR_ROOT/bench/*.cc" >/dev/null; then
  fail "there is no benchmark in bench/ yet"
fi
build_release >&2
build release weir_bench >&2
if [[ ${1:-} == queue.peers ]]; then
  command -v npm >/dev/null || packages npm
  (cd "$WEIR_ROOT/bench/peers" && npm ci --silent) >&2
  export WEIR_BENCH_PEERS=$WEIR_ROOT/bench/peers
fi
export WEIR_BINARY=$WEIR_ROOT/build/release/bin/weir
export WEIR_BENCH_FIB=$WEIR_ROOT/build/release/bin/weir_bench_fib
exec "$WEIR_ROOT/build/release/bin/weir_bench" "$@"
