"""Free a wheel's SBOM (CycloneDX, by maturin) of the folder in which it was built, and copy it: sbom.py WHEEL OUTPUT.

So the wheel is the same wherever it is built, and does not tell where that was.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from pathlib import Path


def main(wheel: Path, output: Path) -> None:
    """Change the SBOM, and what RECORD says of it."""
    checkout = Path.cwd().resolve().as_uri().encode()
    with zipfile.ZipFile(wheel) as old:
        entries = [(entry, old.read(entry)) for entry in old.infolist()]
    contents = {entry.filename: content for entry, content in entries}
    (name,) = [name for name in contents if name.endswith(".cyclonedx.json")]
    (record,) = [name for name in contents if name.endswith(".dist-info/RECORD")]
    sbom = contents[name].replace(checkout, b"file:///jmo-telemetry")
    digest = base64.urlsafe_b64encode(hashlib.sha256(sbom).digest()).rstrip(b"=").decode()
    lines = [
        f"{name},sha256={digest},{len(sbom)}" if line.startswith(f"{name},") else line
        for line in contents[record].decode().splitlines()
    ]
    contents[name] = sbom
    contents[record] = ("\n".join(lines) + "\n").encode()
    with zipfile.ZipFile(wheel, "w") as new:
        for entry, _ in entries:
            new.writestr(entry, contents[entry.filename], entry.compress_type, compresslevel=9)
    output.write_bytes(sbom)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
