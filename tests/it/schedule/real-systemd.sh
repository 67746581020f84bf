#!/usr/bin/env bash
# A real systemd user manager fires the flush, in a mount and process namespace of its own. Arguments: the program, and a
# directory for this world. The program's path holds everything that a unit takes for something else.
set -eu
program=$1 world=$2
mount -t tmpfs none /run
# Without it systemd refuses to be a user manager.
mkdir -p /run/systemd/system "$world/run"
chmod 700 "$world/run"
export XDG_RUNTIME_DIR=$world/run
/lib/systemd/systemd --user &
for _ in $(seq 300); do
  systemctl --user show --property=Version >/dev/null 2>&1 && break
  sleep 0.1
done
mkdir -p "$HOME/.config/systemd/user"
printf '[Unit]\n' >"$HOME/.config/systemd/user/theirs.service"
find "$HOME/.config" >"$world/before"

"$program" connect dir "$world/out"
"$program" record tool.failed --tool trivy --failure-type crash --profile fast
"$program" schedule install --every 1h
systemd-analyze verify --user --man=no "$HOME/.config/systemd/user/jmo-telemetry-flush.timer" 2>"$world/verified" || true
"$program" schedule show --json >"$world/before-the-first-run"
"$program" schedule remove
find "$HOME/.config" | cmp - "$world/before"

# A run that was missed while the machine was off is made up for at once.
mkdir -p "$HOME/.local/share/systemd/timers"
touch -d '2 days ago' "$HOME/.local/share/systemd/timers/stamp-jmo-telemetry-flush.timer"
"$program" schedule install --every 1h
for _ in $(seq 600); do
  ls "$world"/out/events-*.jsonl >/dev/null 2>&1 && break
  sleep 0.1
done
ls "$world"/out/events-*.jsonl
"$program" schedule show --json >"$world/shown"

# The schedule that was installed again runs at its new interval, and leaves nothing behind.
"$program" schedule install --every 15m
systemctl --user show --property=TimersCalendar jmo-telemetry-flush.timer >"$world/calendar"
"$program" schedule remove
find "$HOME/.config" | cmp - "$world/before"
systemctl --user list-timers --all --no-legend >"$world/timers"
