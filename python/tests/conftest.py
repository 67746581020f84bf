"""A world for each test: an empty home, a cleaned environment, and the real program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import jmo_telemetry
from jmo_telemetry import compat

# The variables that mean CI.
CI = compat._CI
PACKAGE = Path(__file__).resolve().parent.parent
CHECKOUT = PACKAGE.parent
# Cargo and pip find their things by it.
OUTSIDE = dict(os.environ)
FAILED = {"tool": "trivy", "failure_type": "crash", "profile": "fast"}


def the_program() -> Path:
    """Give the program under test: JMO_TELEMETRY_BIN, or what cargo built here."""
    named = os.environ.get("JMO_TELEMETRY_BIN") or CHECKOUT / "target/debug/jmo-telemetry"
    return Path(named).resolve(strict=True)


PROGRAM = the_program()


class World:
    """A home, a working folder, and the environment that leads to them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._monkeypatch = monkeypatch
        self.set = monkeypatch.setenv
        self.prelude = ""
        for name in list(os.environ):
            if name in (*CI, "DO_NOT_TRACK", "DOCKER_CONTAINER") or name.startswith(
                ("JMO_", "PYTHON")
            ):
                monkeypatch.delenv(name)
        self.set("HOME", str(folder / "nobody"))
        self.set("JMO_TELEMETRY_HOME", str(self.home))
        self.set("JMO_TELEMETRY_BIN", str(PROGRAM))
        self.set("PYTHONPATH", str(PACKAGE))
        monkeypatch.chdir(folder)

    def unset(self, name: str) -> None:
        """Remove a variable."""
        self._monkeypatch.delenv(name, raising=False)

    def run(self, *arguments: str) -> str:
        """Run the program; give its stdout."""
        return subprocess.run(
            [PROGRAM, *arguments], check=True, capture_output=True, text=True
        ).stdout

    def events(self) -> list[dict[str, Any]]:
        """Give the payloads in the spool, oldest first."""
        lines = self.run("spool", "list", "--limit", "0", "--json").splitlines()
        return [json.loads(line)["payload"] for line in lines]

    def metadata(self) -> dict[str, Any]:
        """Give the metadata of the last event."""
        metadata: dict[str, Any] = self.events()[-1]["metadata"]
        return metadata

    def python(self, code: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a script in a Python of its own, in which every warning is an error."""
        script = self.prelude + textwrap.dedent(code)
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=60, **how
        )

    def says(self, code: str) -> str:
        """Run a script that must succeed and say nothing on stderr; give its stdout."""
        ran = self.python(code)
        assert (ran.returncode, ran.stderr) == (0, ""), ran
        return ran.stdout

    def stand_in(self, script: str) -> Path:
        """Put a shell script in the place of the program."""
        path = self.folder / "stand-in"
        path.write_text(f"#!/bin/sh\n{textwrap.dedent(script)}\n")
        path.chmod(0o755)
        self.set("JMO_TELEMETRY_BIN", str(path))
        return path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Give an empty home, nobody opted out, no destination."""
    monkeypatch.setattr(jmo_telemetry, "_said", {})
    return World(tmp_path, monkeypatch)


@pytest.fixture(params=["files", "pipes"])
def either_way(
    request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch
) -> World:
    """Give a world on Linux, and one on a system that has only pipes."""
    if request.param == "pipes":
        world.prelude = "import os\ndel os.memfd_create\n"
        monkeypatch.delattr(os, "memfd_create", raising=False)
    return world
