# summary: build the program, build/weir
# usage: ./dev build [PRESET [TARGET...]]
#
# Without arguments: the release preset's program, left at build/weir. With a preset (dev, asan, tsan, cov, fuzz,
# tidy, release): that preset, all of it or the given targets. Environment: WEIR_JOBS, the number of compilers at once.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"

if [[ $# == 0 ]]; then
  packages build
  build_release
  exit
fi

preset=$1
shift
case $preset in
  release) packages build ;;
  dev | asan | tsan) packages build test ;;
  cov) packages build test cov ;;
  fuzz) packages build fuzz ;;
  tidy) packages build test lint ;;
  *) usage_error "no preset '$preset'" ;;
esac
build "$preset" "$@"
