"""`python -m jmo_telemetry …` is the program."""

from __future__ import annotations

import os
import sys

from . import find_program


def main() -> int:
    """Become the program; where that is not possible, run it and give its exit code."""
    try:
        program = os.fspath(find_program())
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 127
    command = [program, *sys.argv[1:]]
    if os.name != "nt":
        os.execv(program, command)
    import subprocess

    try:
        return subprocess.run(command, check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
