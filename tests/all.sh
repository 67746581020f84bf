#!/bin/sh
# Runs every test: the program's, the collector's, the Python client's, and the parsers over their fuzzing corpus.
# A part whose tools are missing is skipped, and the end says which. With JMO_TELEMETRY_REQUIRE_ALL=1, as in the gate,
# a missing tool is a failure.
set -eu
cd "$(dirname "$0")/.."
skipped=""

# skip PART TOOL
skip() {
  echo "skipped: $1 (needs $2)"
  skipped="$skipped $1"
}

if [ "${JMO_TELEMETRY_REQUIRE_ALL:-}" = 1 ]; then
  export JMO_TELEMETRY_REQUIRE_BROWSER=1 JMO_TELEMETRY_REQUIRE_NODE=1 JMO_TELEMETRY_REQUIRE_SCHEDULERS=1
fi

# The end-to-end tests of the program talk to the collector, so its packages come first.
if command -v npm >/dev/null && node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null; then
  echo "== collector: packages, lint, types, tests"
  (cd collector && npm ci --no-audit --no-fund && npm run --silent check && npm test)
else
  skip collector "Node 20 or newer, with npm"
fi

echo "== program"
cargo test --locked

if python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "== Python client"
  python/check.sh
else
  skip "Python client" "Python 3.10 or newer, with venv"
fi

if command -v c++ >/dev/null; then
  echo "== parsers over their fuzzing corpus"
  fuzz/run.sh --replay
else
  skip fuzz "a C++ compiler"
fi

if [ -n "$skipped" ]; then
  echo "passed, but these were skipped:$skipped"
  [ "${JMO_TELEMETRY_REQUIRE_ALL:-}" != 1 ]
else
  echo "all passed"
fi
