#!/bin/sh
# Checks the Python package on a clean checkout: ruff, mypy --strict, and pytest against the real program.
#
#   python/check.sh [pytest's arguments]     everything; `-m "not wheel"` leaves out the builds
#
# JMO_TELEMETRY_BIN names the program to test; without it cargo builds one. PYTHON names the interpreter [python3].
set -eu
cd "$(dirname "$0")"

python=${PYTHON:-python3}
target=${CARGO_TARGET_DIR:-$PWD/../target}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
  { echo "python/check.sh: $python is older than Python 3.10; name another one in PYTHON" >&2; exit 1; }

if [ -z "${JMO_TELEMETRY_BIN:-}" ]; then
  echo "python: building the program"
  cargo build --locked --quiet
  JMO_TELEMETRY_BIN=$target/debug/jmo-telemetry
fi
export JMO_TELEMETRY_BIN

tools=$target/python-tools
if [ ! -x "$tools/bin/python" ]; then
  "$python" -m venv "$tools"
fi
"$tools/bin/pip" install --quiet --disable-pip-version-check --requirement requirements-dev.txt

echo "python: ruff"
"$tools/bin/ruff" format --check --quiet . || { echo "python: run $tools/bin/ruff format python" >&2; exit 1; }
"$tools/bin/ruff" check --quiet .
echo "python: mypy --strict"
"$tools/bin/mypy" jmo_telemetry tests examples
echo "python: pytest with $JMO_TELEMETRY_BIN"
exec "$tools/bin/pytest" "$@"
