#!/bin/sh
# Fuzzes the parsers: `fuzz/run.sh [SECONDS]` gives each one random input for this long [10], starting from
# its corpus; `fuzz/run.sh --replay` uses only the corpus. Needs a C++ compiler. `cargo fuzz run TARGET` works, too,
# if it is installed.
set -eu
cd "$(dirname "$0")"
# The flags of cargo-fuzz without a sanitizer, so that the stable compiler works.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Ccodegen-units=1 --cfg getrandom_backend=\"linux_getrandom\""
RUSTFLAGS=$(echo "$RUSTFLAGS" | tr -s '\n ' '  ')
export RUSTFLAGS
# With a target named, build scripts are built without these flags.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --locked --quiet --target "$host" --target-dir ../target/fuzz
case "${1:-10}" in
  --replay) limit=-runs=0 ;;
  *) limit=-max_total_time=${1:-10} ;;
esac
for corpus in corpus/*/; do
  target=$(basename "$corpus")
  found=$(mktemp -d)
  # New inputs go into a temporary directory; copy one into the corpus to keep it.
  if "../target/fuzz/$host/debug/$target" "$limit" -max_len=65536 -artifact_prefix="$found/" \
    "$found" "$corpus" >"$found/log" 2>&1; then
    echo "$target: ok"
    rm -rf "$found"
  else
    tail -n 30 "$found/log"
    echo "failed: $target; the input and the whole log are in $found"
    exit 1
  fi
done
