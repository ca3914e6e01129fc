# Which files are ours: tracked, or new and not ignored. Each list ends its names with a zero byte.
# shellcheck shell=bash

our_files() {
  # A file that is deleted and not yet committed is still listed by git.
  git -C "$WEIR_ROOT" -c safe.directory='*' ls-files -z --cached --others --exclude-standard --deduplicate -- "$@" |
    while IFS= read -r -d '' name; do
      [[ -f $WEIR_ROOT/$name ]] && printf '%s\0' "$WEIR_ROOT/$name"
    done
}

cxx_files() { our_files '*.cc' '*.h'; }
# check-history and check-limits are awk.
shell_files() { our_files dev .ci/run 'tools/*' ':!*/.shellcheckrc' ':!tools/check-history' ':!tools/check-limits'; }
