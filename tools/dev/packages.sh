# Debian's packages by purpose, and how what is missing gets installed.
# shellcheck shell=bash

declare -A package_groups=(
  [build]='g++ cmake ninja-build ccache mold pkg-config git ca-certificates
           libpq-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libexpected-dev
           libsimdjson-dev zlib1g-dev libzstd-dev libsqlite3-dev libyaml-cpp-dev libcctz-dev tzdata libcurl4-openssl-dev
           postgresql-15'
  # procps: tests look for processes that were left behind. bsdutils: script(1) gives them a terminal.
  # elfutils: says where a suite stands that is almost out of time.
  [test]='libgtest-dev libgmock-dev librapidcheck-dev pgbouncer procps bsdutils util-linux elfutils'
  # pgbench and psql come with postgresql-15.
  # spin makes a C program of a model in models/.
  [model]='spin gcc'
  [bench]='libbenchmark-dev'
  [lint]='clang-16 clang-tidy-16 clang-format-16 shellcheck'
  [fmt]='clang-format-16'
  [cov]='gcovr'
  [fuzz]='clang-16 libclang-rt-16-dev'
  [fresh]='debootstrap'
  [npm]='nodejs npm'
)

# packages GROUP...: makes sure that they are installed. Costs one dpkg-query when they are.
packages() {
  local group wanted=() missing
  # Elsewhere than on Debian, cmake says what it does not find.
  command -v dpkg-query >/dev/null || return 0
  for group; do
    # shellcheck disable=SC2206
    wanted+=(${package_groups[$group]})
  done
  missing=$(missing_packages "${wanted[@]}")
  [[ -n $missing ]] || return 0

  # shellcheck disable=SC2206
  local install=("$WEIR_ROOT/tools/dev/install-packages" $missing)
  if [[ $EUID == 0 ]]; then
    "${install[@]}" || exit 1
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "${install[@]}" || exit 1
  else
    printf '%s\n' "These Debian packages are missing: ${missing//$'\n'/ }" \
      "Neither root nor sudo without a password is at hand. Run this once, then try again:" \
      "" "  sudo$(printf ' %q' "${install[@]}")" >&2
    exit 1
  fi
}

missing_packages() {
  # A package that dpkg has never heard of is reported on standard error, and is missing all the same.
  { dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true; } |
    awk -v wanted="$*" '
      $2 == "installed" { have[$1] = 1 }
      END { n = split(wanted, w, " "); for (i = 1; i <= n; i++) if (!(w[i] in have)) print w[i] }'
}
