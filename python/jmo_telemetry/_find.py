"""Find the program."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = "jmo-telemetry.exe" if os.name == "nt" else "jmo-telemetry"


def find_program() -> Path:
    """Give the path of the program.

    `JMO_TELEMETRY_BIN` names it, or it is the one that came with this module, or the one of this
    Python's environment, or the first on PATH.

    Raises:
        FileNotFoundError: it is nowhere.

    """
    from pathlib import Path

    named = os.environ.get("JMO_TELEMETRY_BIN")
    if named:
        if os.path.isfile(named):
            return Path(os.path.abspath(named))
        message = f"JMO_TELEMETRY_BIN names no file: {named}"
        raise FileNotFoundError(message)
    for folder in _folders():
        path = os.path.join(folder, _NAME)
        # A relative folder would be one of whoever owns the folder that is being scanned.
        if os.path.isabs(folder) and os.path.isfile(path) and os.access(path, os.X_OK):
            return Path(path)
    message = f"{_NAME} is not installed; `pip install jmo-telemetry` brings it"
    raise FileNotFoundError(message)


def _folders() -> Iterator[str]:
    """Give the folders where the program may be, the likeliest first."""
    if getattr(sys, "frozen", False):
        yield getattr(sys, "_MEIPASS", "")
        yield os.path.dirname(sys.executable)
    # Installers put scripts at a fixed place relative to the modules: <prefix>/bin beside
    # <prefix>/lib/python3.N/site-packages, in an environment, a --prefix and the user's own
    # scheme alike; <target>/bin for --target; Scripts on Windows.
    site = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for steps in ("../../../bin", "bin", "../../Scripts", "../Scripts"):
        yield os.path.normpath(os.path.join(site, steps))
    # The module runs from elsewhere, a checkout for example.
    import sysconfig

    yield sysconfig.get_path("scripts")
    base = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    yield sysconfig.get_path("scripts", vars=base)
    yield sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    yield from os.get_exec_path()
