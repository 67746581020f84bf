#!/usr/bin/env bash
# The program on the other systems, as far as one Linux machine can show: compiled for Windows and run under wine,
# type-checked for macOS, linked with musl and run. Clippy reads the code for Windows and macOS. As root on Debian it
# installs what is missing, from Debian and PyPI.
#
#   tests/other-systems.sh [windows|macos|musl ...]     all of them without arguments
#
# The standard library is compiled for each target from Debian's sources, with Debian's compiler: rustup's targets can't
# be had everywhere.
#
# A part is skipped where this machine can't build for its system, or can't run what it built, and the end says so. It is
# a failure if nothing could be tried, and with JMO_TELEMETRY_REQUIRE_ALL=1 if anything could not.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- windows macos musl
for part in "$@"; do
  case $part in
    windows | macos | musl) ;;
    *)
      echo "tests/other-systems.sh: there is no part $part; the parts are windows, macos and musl" >&2
      exit 2
      ;;
  esac
done
work=${CARGO_TARGET_DIR:-$PWD/target}/other-systems
mkdir -p "$work"
rm -f "$work/skipped" "$work/passed"

for variable in CI GITHUB_ACTIONS GITLAB_CI JENKINS_URL BUILD_ID CIRCLECI TRAVIS TF_BUILD BITBUCKET_PIPELINE_UUID \
  DO_NOT_TRACK JMO_TELEMETRY_DISABLE JMO_TELEMETRY_GIST_ID JMO_TELEMETRY_ENDPOINT JMO_TELEMETRY_HOME; do
  unset "$variable"
done

# Left behind by cargo-zigbuild.
trap 'rm -f .intentionally-empty-file.o' EXIT

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

# fail WHAT: ends with the reason; what it was about stands above it.
fail() {
  echo "failed: $*" >&2
  exit 1
}

# pass WHAT
pass() { echo "$*" >>"$work/passed"; }

# skip WHAT WHY
skip() {
  [ "${JMO_TELEMETRY_REQUIRE_ALL:-}" != 1 ] || fail "$1: $2"
  echo "skipped: $1 ($2)"
  echo "$1" >>"$work/skipped"
}

# apt_install PACKAGE…: what can't be installed is missed, and told, by the part that needs it.
apt_install() {
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    echo "could not install $*" >&2
}

install_tools() {
  local missing=()
  [ -d /usr/lib/rustlib/src/rust/library ] || missing+=(rustc-web rust-web-src)
  [ -x /usr/bin/clippy-driver ] || missing+=(rust-web-clippy)
  command -v cargo >/dev/null || missing+=(cargo-web)
  [ "${#missing[@]}" = 0 ] || apt_install "${missing[@]}"
  [[ " $* " != *" windows "* ]] || command -v wine >/dev/null || apt_install wine wine64
  [ -x "$work/venv/bin/cargo-zigbuild" ] || {
    python3 -m venv "$work/venv" &&
      "$work/venv/bin/pip" install --quiet --disable-pip-version-check cargo-zigbuild==0.24.1 ziglang==0.13.0 ||
      echo "could not install cargo-zigbuild and ziglang" >&2
  }
  export PATH=$work/venv/bin:$PATH
}

zig() { "$work/venv/bin/python" -m ziglang "$@"; }

# build COMMAND TARGET [ARGUMENT…]
build() {
  local command=$1 target=$2
  shift 2
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_PANIC=abort CARGO_INCREMENTAL=0 \
    CARGO_TARGET_DIR=$work/cargo \
    cargo-zigbuild "$command" --quiet --locked --target "$target" -Z build-std=std,panic_abort "$@"
}

# build_ours COMMAND TARGET: builds this package. A warning is a failure, as it is in CI on these systems themselves.
build_ours() {
  build "$@" 2>&1 | tee "$work/said"
  ! grep -q '^warning' "$work/said" || fail "the compiler warns about the code for $2"
}

# lint TARGET: what CI does on that system itself.
lint() {
  [ -x /usr/bin/clippy-driver ] || {
    skip "clippy for $1" "there is no /usr/bin/clippy-driver"
    return 0
  }
  RUSTC_WORKSPACE_WRAPPER=/usr/bin/clippy-driver build_ours check "$1"
  pass "clippy for $1"
}

# can_build COMMAND TARGET: whether this machine can build anything for a target. It is tried with a program of one line,
# so that a fault of ours is not taken for a fault of the tools. The standard library, most of the work, is used again.
can_build() {
  local probe=$work/probe
  mkdir -p "$probe/src"
  printf '[package]\nname = "probe"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$probe/Cargo.toml"
  printf 'version = 4\n[[package]]\nname = "probe"\nversion = "0.0.0"\n' >"$probe/Cargo.lock"
  echo 'fn main() { println!("it works"); }' >"$probe/src/main.rs"
  build "$1" "$2" --manifest-path "$probe/Cargo.toml" || {
    skip "$2" "this machine can't build for it; the reason is above"
    return 1
  }
}

# The main job, with the program as `program` starts it, and paths as `path` writes them.
main_job() {
  program record scan.started --mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1
  program record scan.completed --mode cli --profile fast --duration 412s --succeeded 8 --failed 0 --findings 37
  program connect dir "$(path "$world/out")"
  program flush --verbose
  [ "$(cat "$world"/out/*.jsonl | wc -l)" = 2 ] || fail "two events at the destination"
  program spool list
}

# number WHAT: a number of `spool stats`.
number() { program spool stats --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# count WHAT EXPECTED
count() {
  local found
  found=$(number "$1")
  [ "$found" = "$2" ] || fail "$1: $found, and not $2"
}

# Eight recorders at once, 200 events, of which none may be lost.
eight_recorders() {
  local pids=() n
  for n in $(seq 8); do
    (for _ in $(seq 25); do
      program record tool.failed --tool trivy --failure-type timeout --profile fast || fail "recorder $n: exit $?"
    done) &
    pids+=($!)
  done
  for n in "${pids[@]}"; do wait "$n"; done
  count recorded 202
}

# A recorder of many events is killed in between. What it has stored stays whole, and nothing waits for it.
a_kill_in_between() {
  local line='{"event":"tool.failed","version":"1.0.2","python_version":"3.11","metadata":{"tool":"trivy","failure_type":"timeout","exit_code":null,"profile":"fast"}}'
  # It never sees the end of its input, so it is killed while it works.
  rm -f "$work/feed"
  mkfifo "$work/feed"
  while echo "$line"; do :; done >"$work/feed" 2>/dev/null &
  local feeder=$!
  in_place_of_the_shell record --stdin <"$work/feed" &
  local recorder=$!
  local before after tries=0
  before=$(number recorded)
  until after=$(number recorded) && [ "$after" -gt "$before" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "the recorder recorded nothing"
    sleep 0.1
  done
  kill -9 "$recorder"
  wait "$recorder" "$feeder" 2>/dev/null || true
  program spool check || fail "the spool is damaged after a kill"
  after=$(number recorded)
  program record tool.failed --tool trivy --failure-type timeout --profile fast
  count recorded $((after + 1))
  program flush --deadline 120s --strict
  count pending 0
  [ "$(cat "$world"/out/*.jsonl | wc -l)" = $((after + 1)) ] || fail "as many events at the destination as were recorded"
  [ "$(cat "$world"/out/*.jsonl | sort -u | wc -l)" = $((after + 1)) ] || fail "each event once"
}

view_and_check() {
  program spool check
  program view --json | python3 -c 'import json, sys; seen = json.load(sys.stdin); assert seen["events"] > 200, seen'
  program view --html "$(path "$world/page.html")"
  grep -q '</html>' "$world/page.html" || fail "a whole page"
  program status
}

windows() {
  local target=x86_64-pc-windows-gnu library
  step "Windows: compile and link"
  # The linker asks for two libraries of gcc's that nothing needs.
  mkdir -p "$work/stubs"
  for library in ssp ssp_nonshared; do
    zig ar crs "$work/stubs/lib$library.a" || true
  done
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS="-L native=$work/stubs"
  can_build build $target || return 0
  build_ours build $target
  pass "Windows is compiled and linked"
  lint $target

  step "Windows: wine"
  trap 'wineserver -k 2>/dev/null || true' EXIT
  export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
  # A new world each time. Its services start with its second start, for the first one makes them.
  rm -rf "$WINEPREFIX"
  if ! timeout 120 wineboot --init >/dev/null 2>&1 || ! wineserver -k; then
    skip "Windows under wine" "wine does not start"
    return 0
  fi
  local profile
  profile=$WINEPREFIX/drive_c/users/$(id -un)
  world="$profile/A World"
  mkdir -p "$world/bin"
  cp "$work/cargo/$target/debug/"{jmo-telemetry,probe}.exe "$world/bin"
  # Debian's wine lacks a library that Rust's standard library takes its random numbers from.
  cat >"$work/prng.c" <<'C'
#include <stddef.h>
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *bytes, unsigned long count);
__declspec(dllexport) int ProcessPrng(unsigned char *bytes, size_t count) { return SystemFunction036(bytes, count); }
C
  zig cc -target x86_64-windows-gnu -shared -o "$world/bin/bcryptprimitives.dll" "$work/prng.c" -ladvapi32

  # Without random addresses: now and then wine finds a place taken that it must have ("failed to map the shared user
  # data"), and the program does not start.
  [ "$(timeout 120 setarch -R wine "$world/bin/probe.exe" | tr -d '\r')" = "it works" ] || {
    skip "Windows under wine" "wine does not run a program of one line"
    return 0
  }
  program() { setarch -R wine "$world/bin/jmo-telemetry.exe" "$@"; }
  path() { winepath -w "$1"; }
  in_place_of_the_shell() { exec setarch -R wine "$world/bin/jmo-telemetry.exe" "$@"; }

  step "Windows: main job, in %USERPROFILE%"
  main_job
  [ -f "$profile/.jmo-security/spool.db" ] || fail "the home is in %USERPROFILE%"
  step "Windows: eight recorders at once"
  eight_recorders
  step "Windows: a kill in between"
  a_kill_in_between
  step "Windows: view and check"
  view_and_check
  step "Windows: a detached flush"
  detached_flush
  step "Windows: schedule"
  a_task
  pass "Windows under wine"
}

# `record --flush` returns at once, also to who reads its output to the end, and the flush that it started does its work.
detached_flush() {
  local event=(record tool.failed --tool trivy --failure-type timeout --profile fast --flush)
  program "${event[@]}"
  local tries=0
  until [ "$(number pending)" = 0 ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the detached flush sends what waits"
    sleep 0.1
  done
  no_flush_at_work
  # A server that never answers: the flush gives it up after 30 s.
  rm -f "$work/called" "$work/port"
  python3 -c '
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
held = []
while True:
    held.append(server.accept())
    open(sys.argv[1], "w").write("called")
' "$work/called" >"$work/port" &
  local server=$!
  until [ -s "$work/port" ]; do sleep 0.1; done
  JMO_TELEMETRY_GIST_ID=aa5a315d61ae9438b18d JMO_TELEMETRY_GITHUB_TOKEN=none \
    JMO_TELEMETRY_GITHUB_API=http://127.0.0.1:$(cat "$work/port") \
    program "${event[@]}" | timeout 20 cat || fail "the detached flush holds our output open"
  tries=0
  until [ -s "$work/called" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "the detached flush calls the server"
    sleep 0.1
  done
  kill "$server"
  no_flush_at_work
}

# What a dry run shows is what Task Scheduler gets, and nothing of it is left in the end.
a_task() {
  local file=$profile/.jmo-security/schedule-task.xml
  local task
  task=$WINEPREFIX/drive_c/windows/system32/tasks/jmo-telemetry-flush-$(id -un)
  program schedule install --every 1h --dry-run >"$work/planned"
  [ ! -e "$file" ] || fail "a dry run writes nothing"
  program schedule install --every 1h
  python3 - "$work/planned" "$file" <<'PYTHON' || fail "the task is the one that the dry run shows"
import sys
planned = open(sys.argv[1], encoding="utf-8", newline="").read()
assert open(sys.argv[2], encoding="utf-16", newline="").read() in planned
PYTHON
  [ -f "$task" ] || fail "Task Scheduler has the task"
  program schedule show | tee "$work/shown"
  grep -q 'every 1h by schtasks' "$work/shown" || fail "the task is shown"
  program schedule remove
  [ ! -e "$task" ] && [ ! -e "$file" ] || fail "nothing of the task is left"
}

# Waits until no flush is at work: who comes second leaves until then.
no_flush_at_work() {
  local tries=0
  while program flush --json | grep -q '"outcome":"busy"'; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "the detached flush ends"
    sleep 0.1
  done
}

macos() {
  local target=aarch64-apple-darwin
  step "macOS: type-check"
  can_build check $target || return 0
  build_ours check $target
  pass "macOS is type-checked"
  lint $target
}

musl() {
  local target=x86_64-unknown-linux-musl
  step "musl: compile and link"
  export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=no"
  can_build build $target || return 0
  build_ours build $target
  built=$work/cargo/$target/debug/jmo-telemetry
  [ "$("$work/cargo/$target/debug/probe")" = "it works" ] || {
    skip "musl" "this machine does not run what was built for it"
    return 0
  }
  world=$(mktemp -d)
  export HOME=$world
  program() { "$built" "$@"; }
  path() { printf '%s' "$1"; }
  in_place_of_the_shell() { exec "$built" "$@"; }
  step "musl: main job"
  main_job
  step "musl: eight recorders, a kill in between, view, check"
  eight_recorders
  a_kill_in_between
  view_and_check
  detached_flush
  rm -rf "$world"
  pass "musl"
}

install_tools "$@"
for part in "$@"; do
  ("$part")
done
# list FILE: its lines in one.
list() { paste -sd, "$1" | sed 's/,/, /g'; }
[ -e "$work/passed" ] || fail "nothing could be tried; skipped: $(list "$work/skipped")"
step "passed: $(list "$work/passed")"
[ ! -e "$work/skipped" ] || echo "skipped: $(list "$work/skipped")"
