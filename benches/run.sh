#!/bin/sh
# The whole comparison in one go, as markdown: builds the release and the floor program, and measures whole
# processes in turn. `benches/run.sh 100` for fewer rounds. Nothing else should run at the same time.
#
# It measures on the file system of the target directory; CARGO_TARGET_DIR chooses another one. Where ext4 keeps a
# journal, as it usually does, a file that grows needs a commit of that journal, and the floor takes longer.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
date -u +"%Y-%m-%d"
if found=$(df --output=fstype,source "$target" 2>/dev/null | tail -n 1); then
    journal="no journal"
    for entry in /proc/fs/jbd2/"${found##*/}"-*; do
        [ ! -e "$entry" ] || journal="a journal"
    done
    echo "${found% *}, $journal"
fi
cargo bench --quiet --locked --bench processes -- "$@"
