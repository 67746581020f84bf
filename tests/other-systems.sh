#!/usr/bin/env bash
# The program on the other systems, as far as one Linux machine can show: compiled for Windows and run under wine,
# type-checked for macOS, linked with musl and run. Debian, as root: what is missing it installs, from Debian and PyPI.
#
#   tests/other-systems.sh [windows|macos|musl ...]     all of them without arguments
#
# The standard library is compiled for each target from Debian's sources, with Debian's compiler: rustup's targets can't
# be had everywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
parts=("${@:-windows macos musl}")
read -r -a parts <<<"${parts[*]}"
work=${CARGO_TARGET_DIR:-$PWD/target}/other-systems
mkdir -p "$work"

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

install() {
  local missing=()
  [ -d /usr/lib/rustlib/src/rust/library ] || missing+=(rustc-web rust-web-src)
  command -v cargo >/dev/null || missing+=(cargo-web)
  command -v wine >/dev/null || missing+=(wine wine64)
  if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  fi
  [ -x "$work/venv/bin/cargo-zigbuild" ] || {
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check cargo-zigbuild==0.24.1 ziglang==0.13.0
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
    cargo-zigbuild "$command" --quiet --locked --lib --bins --target "$target" -Z build-std=std,panic_abort "$@"
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
  step "Windows: compile and link"
  # The linker asks for two libraries of gcc's that nothing needs.
  mkdir -p "$work/stubs"
  for library in ssp ssp_nonshared; do
    zig ar crs "$work/stubs/lib$library.a"
  done
  CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS="-L native=$work/stubs" build build x86_64-pc-windows-gnu
  built=$work/cargo/x86_64-pc-windows-gnu/debug/jmo-telemetry.exe

  step "Windows: wine"
  export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml="
  # A new world each time. Its services start with its second start, for the first one makes them.
  rm -rf "$WINEPREFIX"
  wineboot --init >/dev/null 2>&1
  wineserver -k
  local profile
  profile=$WINEPREFIX/drive_c/users/$(id -un)
  world="$profile/A World"
  mkdir -p "$world/bin"
  cp "$built" "$world/bin/jmo-telemetry.exe"
  # Debian's wine lacks a library that Rust's standard library takes its random numbers from.
  cat >"$work/prng.c" <<'C'
#include <stddef.h>
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *bytes, unsigned long count);
__declspec(dllexport) int ProcessPrng(unsigned char *bytes, size_t count) { return SystemFunction036(bytes, count); }
C
  zig cc -target x86_64-windows-gnu -shared -o "$world/bin/bcryptprimitives.dll" "$work/prng.c" -ladvapi32

  # Without random addresses: now and then wine finds a place taken that it must have ("failed to map the shared user
  # data"), and the program does not start.
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
  wineserver -k
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
  local task=$WINEPREFIX/drive_c/windows/system32/tasks/jmo-telemetry-flush-$(id -un)
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
  step "macOS: type-check"
  build check aarch64-apple-darwin
}

musl() {
  step "musl: compile and link"
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=no" build build x86_64-unknown-linux-musl
  built=$work/cargo/x86_64-unknown-linux-musl/debug/jmo-telemetry
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
}

install
for part in "${parts[@]}"; do
  ("$part")
done
step "all passed: ${parts[*]}"
