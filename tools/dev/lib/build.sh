# Configuring and building presets.
# shellcheck shell=bash

# Clones and work trees share one cache: paths under the root are stored relative to it.
export CCACHE_BASEDIR=$WEIR_ROOT CCACHE_NOHASHDIR=1

# configure PRESET: does nothing when there is nothing to do.
configure() {
  local preset=$1 dir=$WEIR_ROOT/build/$1 stamp
  stamp=$(cksum <"$WEIR_ROOT/CMakePresets.json")
  if [[ -f $dir/build.ninja && -f $dir/.configured && $(<"$dir/.configured") == "$stamp" ]] &&
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$WEIR_ROOT" "$dir/CMakeCache.txt"; then
    return
  fi
  # A folder of another place (a copied tree) or with other settings is no use: cmake keeps old values.
  rm -rf -- "$dir"
  cmake_configure "$preset"
  printf '%s\n' "$stamp" >"$dir/.configured"
}

cmake_configure() {
  local preset=$1 log=$WEIR_ROOT/build/$1/configure.log
  mkdir -p "${log%/*}"
  say "configuring $preset"
  if ! (cd "$WEIR_ROOT" && cmake --preset "$@") >"$log" 2>&1; then
    cat "$log" >&2
    fail "cmake cannot configure the preset '$preset'"
  fi
}

# with_preset PRESET COMMAND...: one build of a preset at a time. Ninja does not lock its folder by itself.
with_preset() {
  local preset=$1 lock
  shift
  mkdir -p "$WEIR_ROOT/build"
  exec {lock}>"$WEIR_ROOT/build/.$preset.lock"
  flock --nonblock "$lock" || { say "waiting for another build of '$preset'"; flock "$lock"; }
  # The lock must not live on in what the build starts (a compiler cache may leave a helper behind).
  eval '"$@"' "$lock>&-"
  exec {lock}>&-
}

# build PRESET [target...]
build() {
  local preset=$1
  shift
  with_preset "$preset" build_locked "$preset" "$@"
}

build_locked() {
  local preset=$1 dir=$WEIR_ROOT/build/$1
  shift
  configure "$preset"
  # A terminal shows the progress; a log is better off with what went wrong.
  local quiet=()
  [[ -t 1 ]] || quiet=(--quiet)
  NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$(jobs)" "${quiet[@]}" "$@" || fail "the build of '$preset' failed"
}

# enable PRESET OPTION: switches a part of the build on that stays off until somebody asks for it.
enable() {
  with_preset "$1" enable_locked "$1" "$2"
}

enable_locked() {
  configure "$1"
  grep -qx "$2:BOOL=ON" "$WEIR_ROOT/build/$1/CMakeCache.txt" || cmake_configure "$1" "-D$2=ON"
}

# The program that users run, at build/weir.
build_release() {
  build release weir
  local link=$WEIR_ROOT/build/weir
  [[ -L $link && $(readlink "$link") == release/bin/weir ]] || ln -sfn release/bin/weir "$link"
}
