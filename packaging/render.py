"""Fill in a template: @VERSION@, @DATE@, and @SHA256 FILE@ for the checksum of a file of dist/.

python3 packaging/render.py [--unbuilt] TEMPLATE OUTPUT

With --unbuilt a file that another platform builds counts as one of zeros, to check the form.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Fill in one template."""
    unbuilt = "--unbuilt" in arguments
    template, output = (Path(name) for name in arguments if name != "--unbuilt")
    version = os.environ["VERSION"]
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"])))

    def checksum(match: re.Match[str]) -> str:
        path = Path("dist") / match[1]
        if not path.exists():
            if unbuilt:
                return "0" * 64
            sys.exit(f"packaging: {template} needs {path}: build it first, or set UNBUILT=1 for a trial")
        return hashlib.sha256(path.read_bytes()).hexdigest()

    text = template.read_text(encoding="utf-8")
    text = text.replace("@VERSION@", version).replace("@DATE@", date)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(re.sub(r"@SHA256 ([^@]+)@", checksum, text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
