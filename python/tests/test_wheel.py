"""The wheel and the sdist, built, installed into empty environments, used and removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import CHECKOUT, FAILED, OUTSIDE, PACKAGE, PROGRAM, World

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.wheel

TOOLS = Path(sys.executable).parent
# The development profile is what cargo has built here anyway; `packaging/build.sh` makes the real one.
PROFILE = "--profile=dev"
USE = f"import jmo_telemetry as t; print(t.find_program(), t.record('tool.failed', {FAILED}))"


def run(*command: str | Path, **how: Path | Mapping[str, str]) -> str:
    """Run a command that must succeed; give its stdout."""
    ran = subprocess.run(command, check=False, capture_output=True, text=True, **how)  # type: ignore[call-overload]
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return str(ran.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    out = tmp_path_factory.mktemp("wheel")
    run(TOOLS / "maturin", "build", "--locked", PROFILE, "--strip", "--out", out, cwd=PACKAGE)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist."""
    out = tmp_path_factory.mktemp("sdist")
    run(TOOLS / "maturin", "sdist", "--out", out, cwd=PACKAGE)
    (built,) = out.glob("*.tar.gz")
    return built


@pytest.fixture
def installed(world: World) -> World:
    """Give a world in which nothing but an installation leads to the module and the program."""
    world.unset("PYTHONPATH")
    world.unset("JMO_TELEMETRY_BIN")
    return world


@pytest.fixture
def environment(installed: World) -> Path:
    """Give an empty environment."""
    folder = installed.folder / "environment"
    venv.create(folder, with_pip=True)
    return folder / "bin"


def test_the_wheel_carries_the_module_and_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    version = run(PROGRAM, "--version").split()[-1]
    assert wheel.name.startswith(f"jmo_telemetry-{version}-py3-none-")
    assert len(names) == len(set(names))
    modules = {path.name for path in (PACKAGE / "jmo_telemetry").iterdir() if path.is_file()}
    assert {name.split("/")[1] for name in names if name.startswith("jmo_telemetry/")} == modules
    assert {name.split("/")[0] for name in names} == {
        "jmo_telemetry",
        f"jmo_telemetry-{version}.data",
        f"jmo_telemetry-{version}.dist-info",
    }
    assert any(name.endswith("/LICENSE.txt") for name in names)


def test_the_sdist_carries_what_is_built_from_once(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert len(names) == len(set(names))
    needed = {"Cargo.toml", "Cargo.lock", ".cargo/config.toml", "jmo_telemetry/py.typed"}
    sources = run("git", "ls-files", "src", "migrations", cwd=CHECKOUT).split()
    assert (needed | set(sources)) - set(names) == set()
    foreign = [name for name in names if name.split("/")[0] in {"target", "collector", ".git"}]
    assert foreign == []


def test_pip_installs_uses_and_removes_the_wheel(
    installed: World, environment: Path, wheel: Path
) -> None:
    run(environment / "pip", "install", "--no-index", wheel)
    assert run(environment / "python", "-c", USE) == f"{environment}/jmo-telemetry True\n"
    version = run(environment / "jmo-telemetry", "--version")
    assert run(environment / "python", "-m", "jmo_telemetry", "--version") == version
    assert len(installed.events()) == 1
    check = "import importlib.metadata as m; print(m.requires('jmo-telemetry'))"
    assert run(environment / "python", "-c", check) == "None\n"
    run(environment / "pip", "uninstall", "--yes", "jmo-telemetry")
    assert not (environment / "jmo-telemetry").exists()
    left = environment.parent.rglob("*jmo_telemetry*")
    assert list(left) == []
    assert len(installed.events()) == 1, "what was recorded stays the user's"


def test_the_program_is_found_in_a_target_and_in_a_prefix(
    installed: World, environment: Path, wheel: Path
) -> None:
    for option in ("--target", "--prefix"):
        place = installed.folder / option
        run(environment / "pip", "install", "--no-index", option, place, wheel)
        (package,) = place.rglob("jmo_telemetry/__init__.py")
        path = {**os.environ, "PYTHONPATH": str(package.parent.parent)}
        found, recorded = run(sys.executable, "-c", USE, env=path).split()
        assert (found, recorded) == (str(place / "bin" / "jmo-telemetry"), "True")


def test_uv_installs_runs_and_removes_the_wheel(installed: World, wheel: Path) -> None:
    uv = TOOLS / "uv"
    folder = installed.folder / "uv"
    installed.set("UV_CACHE_DIR", str(installed.folder / "cache"))
    installed.set("UV_TOOL_DIR", str(installed.folder / "tools"))
    installed.set("UV_TOOL_BIN_DIR", str(installed.folder / "bin"))
    run(uv, "venv", "--offline", "--python", sys.executable, folder)
    run(uv, "pip", "install", "--offline", "--python", folder, wheel)
    assert run(folder / "bin/python", "-c", USE).split()[1] == "True"
    run(uv, "pip", "uninstall", "--python", folder, "jmo-telemetry")
    assert not (folder / "bin/jmo-telemetry").exists()
    run(uv, "tool", "install", "--offline", "--python", sys.executable, wheel)
    assert "enabled" in run(installed.folder / "bin/jmo-telemetry", "status")
    run(uv, "tool", "uninstall", "jmo-telemetry")
    assert not (installed.folder / "bin/jmo-telemetry").exists()
    once = run(uv, "tool", "run", "--offline", "--from", wheel, "jmo-telemetry", "--version")
    assert once.startswith("jmo-telemetry ")


def test_pip_builds_and_installs_the_sdist(
    installed: World, environment: Path, sdist: Path
) -> None:
    settings = {
        **OUTSIDE,
        "MATURIN_PEP517_ARGS": PROFILE,
        "CARGO_TARGET_DIR": str(CHECKOUT / "target"),
    }
    run(environment / "pip", "install", sdist, env=settings)
    assert run(environment / "python", "-c", USE).split()[1] == "True"
    assert len(installed.events()) == 1


def test_the_types_reach_a_strict_caller(installed: World, environment: Path, wheel: Path) -> None:
    run(environment / "pip", "install", "--no-index", wheel)
    caller = installed.folder / "caller.py"
    caller.write_text(
        "from pathlib import Path\n"
        "from jmo_telemetry import find_program, record, status\n"
        "from jmo_telemetry.compat import *\n"
        "done: bool = record('tool.failed', {'tool': 'trivy'}, version=None)\n"
        "where: Path = find_program()\n"
        "said: dict[str, object] = status()\n"
        "hint: str | None = infer_scan_frequency()\n"
    )
    mypy = (TOOLS / "mypy", "--strict", "--python-executable", environment / "python")
    assert "Success" in run(*mypy, caller)
    caller.write_text("import jmo_telemetry\njmo_telemetry.record(7, {}, versions='1')\n")
    refused = subprocess.run([*mypy, caller], check=False, capture_output=True, text=True).stdout
    assert "arg-type" in refused
    assert "call-arg" in refused


def test_the_version_is_cargos_alone(wheel: Path) -> None:
    cargo = json.loads(run("cargo", "metadata", "--no-deps", "--format-version=1", cwd=CHECKOUT))
    assert wheel.name.split("-")[1] == cargo["packages"][0]["version"]
