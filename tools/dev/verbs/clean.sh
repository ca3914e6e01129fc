# summary: remove build/ (never .weir/, which holds data)
# usage: ./dev clean

# shellcheck shell=bash
rm -rf -- "$WEIR_ROOT/build"
