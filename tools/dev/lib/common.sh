# Shared by all verbs. WEIR_ROOT is set by ./dev.
# shellcheck shell=bash

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' red='' green='' plain=''
fi

say() { printf '%s\n' "${bold}==>${plain} $*" >&2; }
fail() {
  local status=1
  if [[ $1 == --status ]]; then
    status=$2
    shift 2
  fi
  printf '%s\n' "${red}error:${plain} $*" >&2
  exit "$status"
}
usage_error() { fail --status 2 "$* (see ./dev help $verb)"; }

verbs() {
  local file
  for file in "$WEIR_ROOT"/tools/dev/verbs/*.sh; do
    basename "$file" .sh
  done
}

# The word of standard input that is nearest to $1, if any is near.
nearest() {
  awk -v word="$1" '
    function least(a, b, c) { return a < b ? (a < c ? a : c) : (b < c ? b : c) }
    function distance(a, b,    i, j, d, same) {
      for (i = 0; i <= length(a); i++) d[i, 0] = i
      for (j = 0; j <= length(b); j++) d[0, j] = j
      for (i = 1; i <= length(a); i++)
        for (j = 1; j <= length(b); j++) {
          same = substr(a, i, 1) == substr(b, j, 1) ? 0 : 1
          d[i, j] = least(d[i-1, j] + 1, d[i, j-1] + 1, d[i-1, j-1] + same)
        }
      return d[length(a), length(b)]
    }
    BEGIN { best = 3 }
    { d = distance(word, $0); if (d < best && d < length($0)) { best = d; found = $0 } }
    END { if (found != "") print found }'
}

unknown_verb() {
  local guess
  guess=$(verbs | nearest "$1")
  printf '%s\n' "${red}error:${plain} unknown verb '$1'${guess:+. Did you mean './dev $guess'?}" >&2
  printf '%s\n' "Verbs: $(verbs | paste -sd' ')" >&2
  exit 2
}

jobs() { printf '%s' "${WEIR_JOBS:-$(nproc)}"; }

# Seconds with one decimal since $1, a value of EPOCHREALTIME. Locales differ in the decimal point.
elapsed() {
  local now=${EPOCHREALTIME/[.,]/} then=${1/[.,]/} tenths
  tenths=$(((now - then) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}
