"""Take the SBOM (CycloneDX) out of a wheel, where maturin puts it: sbom.py WHEEL OUTPUT.

The folder in which it was built is left out, so that it is the same wherever it is built.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

with zipfile.ZipFile(sys.argv[1]) as wheel:
    (name,) = [name for name in wheel.namelist() if name.endswith(".cyclonedx.json")]
    text = wheel.read(name).decode()
checkout = Path.cwd().resolve().as_uri()
Path(sys.argv[2]).write_text(text.replace(checkout, "file:///jmo-telemetry"), encoding="utf-8")
