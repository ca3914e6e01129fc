# summary: format the C++ sources in place
# usage: ./dev fmt

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/files.sh"

packages fmt
cxx_files | xargs -0 -r clang-format-16 -i
