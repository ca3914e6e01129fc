# summary: format, clang and clang-tidy, headers, imports, shell scripts, limits
# usage: ./dev lint [CHECK...]
#
# Checks: format, tidy, headers, imports, shell, text. Without one all of them run. `tidy` compiles everything with
# clang as well (warnings and lock annotations are errors); `headers` compiles every header on its own.

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"
source "$WEIR_ROOT/tools/dev/lib/build.sh"
source "$WEIR_ROOT/tools/dev/lib/files.sh"

check_format() { cxx_files | xargs -0 -r clang-format-16 --dry-run -Werror; }
# clang counts the warnings of the system's headers, which it does not show.
check_tidy() { build tidy -k 0 2>&1 | sed '/^[0-9]* warnings* generated\.$/d'; }
check_headers() { build dev -k 0 all_verify_interface_header_sets; }
check_imports() { "$WEIR_ROOT/tools/check-imports"; }
check_shell() {
  cd "$WEIR_ROOT"
  shell_files | xargs -0 -r shellcheck --external-sources
}
check_text() { "$WEIR_ROOT/tools/check-text"; }

all=(format text imports shell headers tidy)
chosen=("${@:-${all[@]}}")
for check in "${chosen[@]}"; do
  [[ " ${all[*]} " == *" $check "* ]] || usage_error "no check '$check'"
done
packages build test lint

failures=()
for check in "${chosen[@]}"; do
  began=$EPOCHREALTIME
  # A subshell of its own, with errexit: a check may stop where it likes.
  set +e
  (
    set -e
    "check_$check"
  )
  status=$?
  set -e
  if [[ $status == 0 ]]; then
    printf '%sok%s      %-8s %s s\n' "$green" "$plain" "$check" "$(elapsed "$began")"
  else
    printf '%sfailed%s  %-8s %s s\n' "$red" "$plain" "$check" "$(elapsed "$began")"
    failures+=("$check")
  fi
done
[[ ${#failures[@]} == 0 ]] || fail "lint: ${failures[*]}"
