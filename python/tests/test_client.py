"""What the functions of the package do."""

from __future__ import annotations

import json
import math
import stat
import sys
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from conftest import FAILED, PROGRAM, World

import jmo_telemetry
from jmo_telemetry import banner, find_program, flush_later, record, record_many, status

if TYPE_CHECKING:
    from typing import Any


def test_a_recorded_event_is_in_the_spool_with_the_versions_of_scanner_and_python(
    world: World,
) -> None:
    assert record("tool.failed", FAILED, version="1.0.2") is True
    (event,) = world.events()
    assert event["event"] == "tool.failed"
    assert event["version"] == "1.0.2"
    assert event["python_version"] == f"3.{sys.version_info[1]}"
    assert event["metadata"] == {**FAILED, "exit_code": None}


def test_several_events_go_through_one_process(world: World) -> None:
    calls = world.folder / "calls"
    world.stand_in(f'echo "$@" >> {calls}; exec {PROGRAM} "$@"')
    assert record_many(("tool.failed", {**FAILED, "exit_code": code}) for code in range(200))
    assert [event["metadata"]["exit_code"] for event in world.events()] == list(range(200))
    assert calls.read_text().splitlines() == ["record --stdin --json"]


def test_nothing_to_record_is_not_recorded(world: World) -> None:
    assert record_many([]) is False
    assert not world.home.exists()


def test_the_good_events_of_a_call_are_recorded_and_the_call_is_not_true(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert record_many([("tool.failed", FAILED), ("no.such", {}), ("tool.failed", FAILED)]) is False
    assert len(world.events()) == 2
    assert "a telemetry event was not recorded" in caplog.text


@pytest.mark.parametrize(
    ("event", "metadata"),
    [
        ("no.such.event", FAILED),
        ("tool.failed", {}),
        ("tool.failed", {**FAILED, "failure_type": Decimal(1)}),
        ("tool.failed", None),
        ("tool.failed", 7),
        (None, FAILED),
        ("tool.failed", {("a", "tuple"): 1}),
        ("tool.failed\n", FAILED),
        ("\udc80", FAILED),
    ],
)
def test_what_is_no_event_is_false_and_said_once(
    world: World, caplog: pytest.LogCaptureFixture, event: Any, metadata: Any
) -> None:
    for _ in range(3):
        assert record(event, metadata) is False
    assert len(caplog.records) == 1
    assert caplog.records[0].name == "jmo_telemetry"
    assert world.run("spool", "list", "--json") == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("exit_code", math.nan),
        ("exit_code", math.inf),
        ("exit_code", -math.inf),
        ("unknown", {"deep": [1, math.nan]}),
    ],
)
def test_a_number_that_json_lacks_is_refused_and_its_field_is_named(
    world: World, caplog: pytest.LogCaptureFixture, field: str, value: Any
) -> None:
    bad = {**FAILED, field: value}
    assert record_many([("tool.failed", bad), ("tool.failed", FAILED)]) is False
    (entry,) = caplog.records
    assert entry.getMessage() == (
        f"a telemetry event was not recorded: tool.failed: field `{field}`"
        " cannot be written as JSON: NaN and Infinity are not JSON numbers"
    )
    assert len(world.events()) == 1


def test_a_field_that_contains_itself_is_named(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    tools: list[Any] = []
    tools.append(tools)
    assert record("scan.started", {"mode": "cli", "tools": tools}) is False
    assert "field `tools` cannot be written as JSON: Circular reference" in caplog.text


def test_a_value_of_a_type_that_json_lacks_is_refused_also_where_null_may_stand(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert record("tool.failed", {**FAILED, "exit_code": Decimal(3)}) is False
    assert "field `exit_code` must be a whole number" in caplog.text
    assert world.events() == []


def test_an_unknown_field_is_left_out_and_named_without_its_value(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert record("tool.failed", {**FAILED, "path": Path("/secret/place")})
    assert "path" not in world.metadata()
    assert "path" in caplog.text
    assert "secret" not in caplog.text


def test_metadata_may_be_any_mapping_with_sets_tuples_and_non_ascii_words(world: World) -> None:
    metadata: dict[str, Any] = {"mode": "cli", "profile": "schnüffel\n\0", "target_types": {}}
    for tools in ({"trivy", "bandit"}, frozenset({"bandit", "trivy"}), ("bandit", "trivy")):
        assert record("scan.started", MappingProxyType({**metadata, "tools": tools}))
        assert world.metadata()["tools"] == ["bandit", "trivy"]
        assert world.metadata()["profile"] == "custom"


def test_a_number_is_stored_as_its_range(world: World) -> None:
    counted = {"mode": "cli", "profile": "fast", "tools_succeeded": 8, "tools_failed": 0}
    assert record("scan.completed", {**counted, "duration_seconds": 412.5, "findings": 37})
    assert world.metadata()["duration_bucket"] == "5-15min"
    assert b"412" not in (world.home / "spool.db").read_bytes()


def test_an_event_of_many_kilobytes_is_refused_not_hung_on(world: World) -> None:
    assert record("tool.failed", {**FAILED, "x": "y" * 3_000_000}) is False
    assert record("tool.failed", FAILED) is True
    assert len(world.events()) == 1


def test_status_is_what_the_program_says(world: World) -> None:
    record("tool.failed", FAILED)
    said = status()
    assert said["enabled"] is True
    assert said["spool"]["pending"] == 1
    assert said == json.loads(world.run("status", "--json"))


def test_flush_later_uploads_in_the_background(world: World) -> None:
    out = world.folder / "out"
    world.run("connect", "dir", str(out))
    record("tool.failed", FAILED)
    assert flush_later() is True
    until_no_flush_runs(world)
    (segment,) = out.glob("events-*.jsonl")
    assert json.loads(segment.read_text()) == world.events()[0]


def until_no_flush_runs(world: World) -> None:
    """Wait for what was recorded to be sent; the flush may not have begun yet."""
    import time

    until = time.monotonic() + 30
    while status()["spool"]["sent"] == 0:
        assert time.monotonic() < until, world.run("status")
        time.sleep(0.01)


def test_the_banner_goes_to_stderr_when_it_is_due(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert banner() is True
    said = capsys.readouterr()
    assert said.out == ""
    assert "jmo-telemetry disable" in said.err
    world.home.mkdir(mode=0o700, exist_ok=True)
    (world.home / "scan-count").write_text("3")
    assert (banner(), banner("wizard")) == (False, False)
    assert banner("docker") is True, "a container shows it on every run"
    assert capsys.readouterr().out == ""


def test_no_banner_where_it_was_shown_or_where_telemetry_is_disabled(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as shown:
        shown.setenv("JMO_TELEMETRY_SHOWN", "1")
        assert banner() is False
    world.set("DO_NOT_TRACK", "1")
    assert banner("docker") is False
    assert capsys.readouterr() == ("", "")


def test_a_mode_that_does_not_exist_shows_nothing(
    world: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert banner("--help") is False
    assert capsys.readouterr() == ("", "")
    assert "cli, wizard, docker" in caplog.text


def test_a_banner_with_no_stderr_to_go_to_is_no_trouble(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    banner()


# Finding the program.


def a_program(path: Path) -> Path:
    """Put something that can be started at this path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_program_that_is_named_is_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    named = a_program(world.folder / "named")
    world.set("JMO_TELEMETRY_BIN", str(named))
    assert find_program() == named
    world.set("JMO_TELEMETRY_BIN", "named")
    assert find_program() == named
    world.set("JMO_TELEMETRY_BIN", "missing")
    monkeypatch.setenv("PATH", str(a_program(world.folder / "path/jmo-telemetry").parent))
    with pytest.raises(FileNotFoundError, match="JMO_TELEMETRY_BIN"):
        find_program()


@pytest.mark.parametrize(
    ("module", "program"),
    [
        ("venv/lib/python3.11/site-packages", "venv/bin"),
        ("prefix/local/lib/python3.11/dist-packages", "prefix/local/bin"),
        ("target", "target/bin"),
        (r"venv/Lib/site-packages", "venv/Scripts"),
        (
            "AppData/Roaming/Python/Python311/site-packages",
            "AppData/Roaming/Python/Python311/Scripts",
        ),
    ],
)
def test_the_program_that_came_with_the_module_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch, module: str, program: str
) -> None:
    world.unset("JMO_TELEMETRY_BIN")
    monkeypatch.setenv("PATH", str(a_program(world.folder / "path/jmo-telemetry").parent))
    place = world.folder / module / "jmo_telemetry" / "_find.py"
    monkeypatch.setattr(jmo_telemetry._find, "__file__", str(place))
    expected = a_program(world.folder / program / "jmo-telemetry")
    assert find_program() == expected


def test_a_frozen_scanner_uses_the_program_that_it_carries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.unset("JMO_TELEMETRY_BIN")
    beside = a_program(world.folder / "app/jmo-telemetry")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", str(world.folder / "app/jmo"))
    assert find_program() == beside
    inside = a_program(world.folder / "MEI1/jmo-telemetry")
    monkeypatch.setattr(sys, "_MEIPASS", str(inside.parent), raising=False)
    assert find_program() == inside


def test_the_folder_that_is_scanned_is_no_place_to_take_a_program_from(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.unset("JMO_TELEMETRY_BIN")
    for place in ("jmo-telemetry", "bin/jmo-telemetry"):
        a_program(world.folder / place)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setenv("PATH", f":.:bin:{world.folder}/nowhere:")
    with pytest.raises(FileNotFoundError, match="pip install"):
        find_program()
    mine = a_program(world.folder / "path" / "jmo-telemetry")
    monkeypatch.setenv("PATH", f".:{mine.parent}")
    assert find_program() == mine


def test_a_file_that_cannot_be_started_is_no_program(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.unset("JMO_TELEMETRY_BIN")
    text = a_program(world.folder / "first/jmo-telemetry")
    text.chmod(stat.S_IRUSR)
    (world.folder / "second/jmo-telemetry").mkdir(parents=True)
    right = a_program(world.folder / "third/jmo-telemetry")
    folders = ":".join(str(world.folder / name) for name in ("first", "second", "third"))
    monkeypatch.setenv("PATH", folders)
    assert find_program() == right


def test_the_module_run_as_a_script_is_the_program(world: World) -> None:
    import subprocess

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "jmo_telemetry", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    assert run("--version").stdout == world.run("--version")
    assert run("no-such-command").returncode == 2
    world.set("JMO_TELEMETRY_BIN", "missing")
    ran = run("status")
    assert ran.returncode == 127
    assert ran.stderr.startswith("error: JMO_TELEMETRY_BIN")
