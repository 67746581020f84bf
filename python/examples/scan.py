"""What a scanner does: show the notice, record what happens, start the upload.

Run it with `JMO_TELEMETRY_HOME` set to an empty folder, then look at what it recorded with
`jmo-telemetry spool list`.
"""

from __future__ import annotations

import time

import jmo_telemetry

VERSION = "1.0.2"


def scan() -> None:
    """Pretend to scan three repositories with two tools, of which one fails."""
    began = time.monotonic()
    jmo_telemetry.banner("cli")
    jmo_telemetry.record(
        "scan.started",
        {
            "mode": "cli",
            "profile": "balanced",
            "tools": ["trivy", "semgrep"],
            "target_types": {"repos": 3},
        },
        version=VERSION,
    )
    failed = {"tool": "semgrep", "failure_type": "timeout", "profile": "balanced"}
    completed = {
        "mode": "cli",
        "profile": "balanced",
        "duration_seconds": time.monotonic() - began,
        "tools_succeeded": 1,
        "tools_failed": 1,
        "findings": 37,
    }
    jmo_telemetry.record_many(
        [("tool.failed", failed), ("scan.completed", completed)], version=VERSION
    )
    jmo_telemetry.flush_later()


if __name__ == "__main__":
    scan()
    print(f"recorded: {jmo_telemetry.status()['spool']['recorded']} events")
