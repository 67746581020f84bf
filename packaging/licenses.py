"""Print the licences of all that is linked into the program, each text once.

python3 packaging/licenses.py [TARGET] > THIRD-PARTY-LICENSES.txt

A crate that carries no text of its own is named with its licence.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

TEXTS = re.compile(r"(?i)^(licen[sc]e|copying|copyright|notice|unlicense)")
# What is compiled in without being a crate.
BESIDES = """\
SQLite (sqlite.org), inside libsqlite3-sys, is in the public domain.
Chart.js, inside the page of `view --html`, is under MIT:

"""


def linked(target: list[str]) -> list[dict[str, Any]]:
    """Give the packages that are linked in: normal dependencies, of dependencies too."""
    platform = [f"--filter-platform={name}" for name in target]
    command = ["cargo", "metadata", "--locked", "--format-version=1", *platform]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, seen = [metadata["resolve"]["root"]], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        waiting += [
            dependency["pkg"]
            for dependency in nodes[node]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
    packages = [package for package in metadata["packages"] if package["id"] in seen]
    own = metadata["resolve"]["root"]
    return sorted(
        (package for package in packages if package["id"] != own),
        key=lambda package: (package["name"], package["version"]),
    )


def main() -> None:
    """Print them."""
    carriers: dict[str, list[str]] = defaultdict(list)
    without = []
    for package in linked(sys.argv[1:]):
        name = f"{package['name']} {package['version']} ({package['license']})"
        folder = Path(package["manifest_path"]).parent
        texts = [path for path in sorted(folder.iterdir()) if path.is_file() and TEXTS.match(path.name)]
        if not texts:
            without.append(name)
        for path in texts:
            carriers[path.read_text(encoding="utf-8", errors="replace").strip()].append(name)
    print("jmo-telemetry is under MIT (LICENSE). Linked into it are:\n")
    print(BESIDES + Path("src/view/page/chart.LICENSE.md").read_text(encoding="utf-8").strip())
    if without:
        print("\nThese crates carry no text of their licence:\n\n  " + "\n  ".join(without))
    for text, names in sorted(carriers.items(), key=lambda item: item[1]):
        print("\n" + "=" * 100 + "\n" + "\n".join(dict.fromkeys(names)) + "\n\n" + text)


if __name__ == "__main__":
    main()
