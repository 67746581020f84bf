#!/usr/bin/env bash
# A real cron fires the flush, in a mount and process namespace of its own. Arguments: the program, and a directory for
# this world. The program's path holds everything that a crontab and a shell take for something else.
set -eu
program=$1 world=$2
mount -t tmpfs none /run
mount -t tmpfs none /etc/cron.d
mount --bind /dev/null /etc/crontab
mount -t tmpfs none /var/spool/cron
mkdir /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
chmod 1730 /var/spool/cron/crontabs

theirs='# JMo Security Schedule: nightly
0 2 * * * jmo scan # JMo Security Schedule: nightly
MAILTO=""
SHELL=/bin/false'
printf '%s\n' "$theirs" | crontab -

"$program" connect dir "$world/out"
"$program" record tool.failed --tool trivy --failure-type crash --profile fast
"$program" schedule install --every 1m --with cron
cron -f &

# cron looks once a minute: two of them, and some for a busy machine.
for _ in $(seq 900); do
  ls "$world"/out/events-*.jsonl >/dev/null 2>&1 && break
  sleep 0.2
done
ls "$world"/out/events-*.jsonl
"$program" schedule show --json >"$world/shown"
"$program" schedule remove
crontab -l >"$world/crontab"
printf '%s\n' "$theirs" | cmp - "$world/crontab"
