#!/usr/bin/env bash
# Makes the pictures of the README again: docs/pictures.sh [PROGRAM]
#
# It shows the real program with a home and events of its own, which are made up but always the same. A terminal's
# text becomes HTML, and headless Chromium takes the pictures. Needs: awk, script (bsdutils), chromium and pngquant.
set -euo pipefail

cd "$(dirname "$0")/.."
program=$(realpath "${1:-target/release/jmo-telemetry}")
pictures=$PWD/docs/pictures
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# No variable of this shell decides what is shown.
run() {
  env -i HOME="$work" PATH="$PATH" TERM=xterm-256color JMO_TELEMETRY_HOME="$work/home" "$program" "$@"
}

cd "$work"

# Half a year of events of some 300 machines, growing, with weekends.
events() {
  awk -v now="$(date -u +%s)" '
    function pick(words,   list, n) { n = split(words, list, " "); return list[1 + int(rand() * rand() * n)] }
    function emit(at, event, metadata) {
      printf "{\"event\":\"%s\",\"version\":\"%s\",\"platform\":\"%s\",\"python_version\":\"%s\",\"anonymous_id\":\"machine-%d\",\"timestamp\":\"%s\",\"metadata\":{%s}}\n",
        event, version, platform, python, machine, strftime("%Y-%m-%dT%H:%M:%SZ", at, 1), metadata
    }
    BEGIN {
      srand(7)
      tools = "trivy semgrep trufflehog syft checkov hadolint bandit nuclei zap prowler kubescape grype gosec"
      for (day = 180; day >= 0; day--) {
        midnight = int(now / 86400) * 86400 - day * 86400
        weekend = int(midnight / 86400 + 4) % 7 % 6 == 0
        scans = (4 + (180 - day) / 7) * (weekend ? 0.3 : 1) * (0.7 + rand() * 0.6)
        for (scan = 0; scan < scans; scan++) {
          at = midnight + rand() * 80000
          if (at > now) continue
          machine = int(rand() * rand() * (40 + (180 - day) * 1.5))
          version = day > 120 ? "1.0.0" : day > 45 ? pick("1.0.2 1.0.0") : pick("1.1.0 1.0.2 1.0.0")
          platform = pick("Linux macOS Windows"); python = pick("3.12 3.11 3.13 3.10")
          mode = pick("cli docker wizard"); profile = pick("balanced fast deep slim")
          list = ""; n = split(tools, tool, " ")
          for (t = 1; t <= n; t++) if (rand() < 0.9 - t * 0.06) list = list (list == "" ? "" : ",") "\"" tool[t] "\""
          emit(at, "scan.started", sprintf("\"mode\":\"%s\",\"profile\":\"%s\",\"tools\":[%s],\"target_types\":{\"repos\":%d,\"images\":%d,\"iac\":%d,\"k8s\":%d}",
            mode, profile, list, 1 + rand() * 4, rand() * 3, rand() * 2, rand() * 1.2))
          if (rand() < 0.22) emit(at + 90, "tool.failed", sprintf("\"tool\":\"%s\",\"failure_type\":\"%s\",\"profile\":\"%s\"",
            pick("zap trivy nuclei semgrep prowler checkov"), pick("timeout non_zero_exit crash"), profile))
          if (rand() < 0.93) emit(at + 400, "scan.completed", sprintf("\"mode\":\"%s\",\"profile\":\"%s\",\"duration_bucket\":\"%s\",\"total_findings_bucket\":\"%s\"",
            mode, profile, pick("5-15min <5min 15-30min >30min"), pick("10-100 100-1000 1-10 0 >1000")))
          if (rand() < 0.4) emit(at + 420, "report.generated", sprintf("\"output_formats\":[\"json\",\"html\"],\"findings_bucket\":\"%s\"", pick("10-100 100-1000 1-10 0")))
          if (rand() < 0.12) emit(at + 430, "policy.evaluated", "\"policies\":[\"owasp-top-10\"],\"violations_bucket\":\"1-5\"")
        }
      }
    }'
}

# A spool with something in each state that users meet.
spool() {
  run record scan.started --mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1
  run record tool.failed --tool trivy --failure-type timeout --profile balanced
  run record scan.completed --mode cli --profile balanced --duration 412s --succeeded 1 --failed 1 --findings 37
  run flush --to "dir:out"
  run record report.generated --format json --format html --findings 37 --suppressions
  run record policy.evaluated --policy owasp-top-10 --violations 3 --evaluation-ms 75 --passed 4 --failed 1
}

# The text of a command on a terminal of so many columns, as a page: terminal NAME COLUMNS WORDS…
terminal() {
  local name=$1 columns=$2
  shift 2
  local text
  text=$(export -f run; export program work
    script -qec "stty cols $columns rows 60; run $* 2>/dev/null" /dev/null | tr -d '\r' |
      sed -e 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g' \
        -e 's/\x1b\[1m/<b>/g; s/\x1b\[36m/<i class=bar>/g; s/\x1b\[2m/<i class=faint>/g; s/\x1b\[33m/<i class=warning>/g' \
        -e 's/<b>\([^\x1b]*\)\x1b\[0m/<b>\1<\/b>/g; s/\x1b\[0m/<\/i>/g')
  cat >"$work/$name.html" <<HTML
<!doctype html><meta charset="utf-8">
<style>
  body { margin: 0; background: #10161d; color: #d5dde5; font: 14px/normal "DejaVu Sans Mono", monospace; }
  pre { margin: 0; padding: 16px 20px; font: inherit; width: max-content; }
  b { color: #fff } i { font-style: normal } .bar { color: #3fc1c0 } .faint { color: #8796a5 } .warning { color: #f0c043 }
</style>
<pre><b>\$ jmo-telemetry $*</b>
$text</pre>
HTML
}

# picture NAME WIDTH HEIGHT: of NAME.html
picture() {
  chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --hide-scrollbars \
    --virtual-time-budget=5000 --user-data-dir="$work/profile" --window-size="$2,$3" \
    --screenshot="$pictures/$1.png" "file://$work/$1.html" 2>"$work/chromium.log" || { cat "$work/chromium.log" >&2; exit 1; }
  pngquant --force --strip --ext .png "$pictures/$1.png"
}

mkdir -p "$work/events"
events >"$work/events/events.jsonl"
spool
terminal spool-list 96 spool list
terminal dashboard 90 view --from "dir:events"
run view --from "dir:events" --html page.html 2>wrote
picture spool-list 800 150
picture dashboard 800 1170
picture page 1280 1000
ls -l "$pictures"
