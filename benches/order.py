#!/usr/bin/env python3
"""Writes src/record.ld: the functions that a `record` runs, which the linker makes adjacent (docs/performance.md).

Needs valgrind and nm. Builds a release that keeps its symbols and in which the linker chose the order.
"""

import bisect
import os
import re
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPT = REPOSITORY / "src/record.ld"

# The first record creates the spool. That happens once, so its functions are not listed.
FIRST = "record tool.failed --tool trivy --failure-type crash --profile fast"
RECORDS = [
    "record tool.failed --tool trivy --failure-type timeout --profile deep",
    "record scan.started --mode cli --profile balanced --tool trivy --tool semgrep --repos 3 --images 1",
    "record scan.completed --mode cli --profile fast --duration 412s --succeeded 8 --failed 0 --findings 37",
]

HEAD = """\
/* Makes the functions that a `record` runs adjacent in the file, before all others. The kernel maps a program's file in
   pieces of 64 KiB, and a record pays for each piece that it touches (docs/performance.md). benches/order.py writes this
   file. A pattern that matches nothing is harmless; a missing function makes a record a little slower. */
SECTIONS {
  .text.record : {
"""
TAIL = """\
  }
} INSERT BEFORE .text;
"""


def main():
    # Callgrind gives other addresses for functions outside of the usual section.
    write([])
    program = build()
    functions = functions_of(program)
    starts = [start for start, _, _ in functions]
    patterns = set()
    for address in addresses_run(program):
        start, size, name = functions[bisect.bisect_right(starts, address) - 1]
        if start <= address < start + size and name.startswith(("_ZN", "_R")):
            patterns.add(pattern(name))
    write(sorted(patterns))
    print(f"{SCRIPT}: {len(patterns)} patterns")


def write(patterns):
    SCRIPT.write_text(HEAD + "".join(f"    *(.text.*{pattern})\n" for pattern in patterns) + TAIL)


def build():
    target = REPOSITORY / "target/order"
    environment = os.environ | {"CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_RELEASE_STRIP": "none"}
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=REPOSITORY, env=environment, check=True)
    return target / "release/jmo-telemetry"


def functions_of(program):
    """Each function's first address, size and name, by address."""
    table = subprocess.run(["nm", "--print-size", "--defined-only", program], capture_output=True, text=True, check=True)
    rows = (line.split() for line in table.stdout.splitlines())
    return sorted((int(row[0], 16), int(row[1], 16), row[3]) for row in rows if len(row) == 4 and row[2] in "tTwW")


def addresses_run(program):
    """The addresses of all instructions that the records ran."""
    found = set()
    with tempfile.TemporaryDirectory() as scratch:
        profile = Path(scratch, "profile")
        callgrind = ["valgrind", "--quiet", "--tool=callgrind", "--dump-instr=yes", f"--callgrind-out-file={profile}"]
        environment = {"HOME": scratch, "PATH": os.environ["PATH"]}
        run = {"env": environment, "cwd": scratch, "check": True}
        subprocess.run([program, *FIRST.split()], **run)
        for record in RECORDS:
            subprocess.run([*callgrind, program, *record.split()], **run)
            found |= addresses_in(profile.read_text())
    return found


def addresses_in(profile):
    """A line of costs begins with an address in hexadecimal, or with the distance from the last one."""
    found, address = set(), 0
    for sign, number in re.findall(r"^([+-]?)(0x[0-9a-f]+|[0-9]+) ", profile, re.MULTILINE):
        distance = int(number, 0)
        address = {"+": address + distance, "-": address - distance, "": distance}[sign]
        found.add(address)
    return found


def pattern(symbol):
    """A Rust function's name without what changes from build to build."""
    symbol = re.sub(r"(17h[0-9a-f]{16}E)?(\.llvm)?(\.\d+)?$", "*", symbol, count=1)
    return re.sub(r"(Cs|B)[0-9A-Za-z]*_", r"\1*_", symbol)


if __name__ == "__main__":
    main()
