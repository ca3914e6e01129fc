# summary: build Weir and start it with a private PostgreSQL; Ctrl-C ends it
# usage: ./dev up [argument of `weir up`...]
#
# Installs what the build needs, builds the release preset, and runs `build/weir up examples/rates` in the root of the repository

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"

packages build
build_release
cd "$WEIR_ROOT" || exit
exec build/weir up examples/rates "$@"
