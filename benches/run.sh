#!/bin/sh
# The whole comparison in one go, as markdown: builds the release and the floor program, and measures whole
# processes in turn. `benches/run.sh 100` for fewer rounds. Nothing else should run at the same time.
set -eu
cd "$(dirname "$0")/.."
date -u +"%Y-%m-%d"
cargo bench --quiet --locked --bench processes -- "$@"
