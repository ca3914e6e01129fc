# summary: prove ./dev up and ./dev test on a bare Debian 12 made for it
# usage: ./dev fresh [--keep]
#
# Makes a minimal Debian 12 with git in a folder, clones the last commit into it and runs `./dev up` (until the server is
# ready; then Ctrl-C) and `./dev test` there, as root in a folder that nobody else may enter. Needs root. Takes minutes.
# The machine's own apt settings (mirror, proxy, certificates) are carried in. --keep leaves the folder.
# Environment: WEIR_FRESH_LIMIT, seconds until the server must be ready (360, on 2 cores).

# shellcheck shell=bash
source "$WEIR_ROOT/tools/dev/packages.sh"

keep=false
case ${1:-} in
  '') ;;
  --keep) keep=true ;;
  *) usage_error "unknown word '$1'" ;;
esac
[[ $EUID == 0 ]] || fail "./dev fresh makes a system, which needs root: sudo ./dev fresh"
packages fresh

mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' |
  awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
[[ -n $mirror ]] || fail "this machine's apt knows no mirror of Debian 12 (bookworm)"
git=(git -C "$WEIR_ROOT" -c safe.directory='*')
commit=$("${git[@]}" rev-parse --short HEAD) || fail "there is no commit to try"
[[ -z $("${git[@]}" status --porcelain) ]] || say "what is not committed is not tried: this is about $commit"

system=$(mktemp -d /var/tmp/weir-fresh.XXXXXX)
cleanup() {
  if $keep; then say "kept: $system"; else rm -rf --one-file-system -- "$system"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
log=$system.log

# A mount namespace of its own: whatever happens, no mount is left behind. A process namespace as well: nor is a server.
apart() { unshare --mount --pid --fork --kill-child -- "$@"; }

say "making a Debian 12 in $system"
began=$EPOCHREALTIME
apart debootstrap --variant=minbase --include=git,ca-certificates bookworm "$system" "$mirror" >"$log" 2>&1 || {
  cat "$log" >&2
  fail "debootstrap cannot make a system"
}
rm -f "$log"
base_seconds=$(elapsed "$began")

for path in etc/apt etc/resolv.conf etc/hosts usr/local/share/ca-certificates etc/ssl/certs/ca-certificates.crt; do
  [[ ! -e /$path ]] || cp -aL --no-target-directory "/$path" "$system/$path"
done
cp -an /usr/share/keyrings/. "$system/usr/share/keyrings/"
"${git[@]}" clone --quiet --no-hardlinks "$WEIR_ROOT" "$system/root/weir"
chmod 700 "$system/root" "$system/root/weir"
install -m 755 "$WEIR_ROOT/tools/dev/fresh-inside" "$system/fresh-inside"

proxies=()
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [[ -z ${!name:-} ]] || proxies+=("$name=${!name}")
done
status=0
apart bash -euc '
  mount -t proc proc "$1/proc"
  mount -t tmpfs -o mode=755 tmpfs "$1/dev"
  for device in null zero full random urandom tty; do
    touch "$1/dev/$device"
    mount --bind "/dev/$device" "$1/dev/$device"
  done
  mkdir "$1/dev/shm" "$1/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
  ln -s pts/ptmx "$1/dev/ptmx"
  ln -s /proc/self/fd "$1/dev/fd"
  ln -s fd/0 "$1/dev/stdin"
  ln -s fd/1 "$1/dev/stdout"
  ln -s fd/2 "$1/dev/stderr"
  exec chroot "$@"
' apart "$system" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  "WEIR_FRESH_LIMIT=${WEIR_FRESH_LIMIT:-360}" "${proxies[@]}" /fresh-inside || status=$?
printf 'bare system made in %s s\n' "$base_seconds"
[[ $status == 0 ]] || fail "a bare Debian 12 does not run commit $commit"
