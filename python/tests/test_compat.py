"""The former module's names do what they did, and say what the program says."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from conftest import CI, FAILED, PACKAGE, PROGRAM, World

from jmo_telemetry import compat, record

if TYPE_CHECKING:
    from collections.abc import Callable

FORMER = {
    "bucket_duration": "(seconds)",
    "bucket_duration_ms": "(ms)",
    "bucket_findings": "(count)",
    "bucket_targets": "(count)",
    "bucket_violations": "(count)",
    "detect_ci_environment": "()",
    "get_anonymous_id": "()",
    "infer_scan_frequency": "()",
    "is_telemetry_enabled": "(config)",
    "send_event": "(event_type, metadata, config, version='1.0.0')",
    "send_policy_evaluation_event": "(policy_names, results, duration_ms, config, version)",
    "should_show_telemetry_banner": "()",
    "show_telemetry_banner": "(mode='cli')",
}


def test_the_names_and_parameters_are_those_of_the_former_module() -> None:
    assert set(compat.__all__) == set(FORMER)
    for name, parameters in FORMER.items():
        signature = inspect.signature(getattr(compat, name))
        plain = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in signature.parameters.values()
        ]
        assert str(inspect.Signature(plain)) == parameters, name
        assert inspect.getdoc(getattr(compat, name)), name


def test_an_event_is_recorded_as_it_is_sent(world: World) -> None:
    compat.send_event("tool.failed", FAILED, {})
    compat.send_event("tool.failed", FAILED, {}, version="0.7.0-dev")
    assert [event["version"] for event in world.events()] == ["1.0.0", "0.7.0-dev"]


def test_the_scanners_wizard_may_bring_the_number_itself(world: World) -> None:
    wizard = {
        "profile_selected": "balanced",
        "execution_mode": "native",
        "artifact_generated": None,
        "duration_seconds": 123,
    }
    compat.send_event("wizard.completed", wizard, {}, version="1.0.2")
    del wizard["duration_seconds"]
    assert world.metadata() == {**wizard, "duration_bucket": "<5min"}


def test_a_policy_evaluation_is_counted_and_bucketed(world: World) -> None:
    results = {
        "zero-secrets": SimpleNamespace(passed=True, violations=[]),
        "owasp-top-10": SimpleNamespace(passed=False, violations=[1, 2, 3]),
        "acme": SimpleNamespace(passed=False, violations=(1, 2)),
        "older": object(),
    }
    names = ["zero-secrets", "owasp-top-10", "acme", "older"]
    compat.send_policy_evaluation_event(names, results, 75.5, {}, "1.0.2")
    assert world.metadata() == {
        "policy_count": 4,
        "violations_bucket": "1-5",
        "evaluation_time_bucket": "50-100ms",
        "policies": ["custom", "owasp-top-10", "zero-secrets"],
        "passed_count": 1,
        "failed_count": 3,
    }


def test_results_of_another_shape_hurt_nobody(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"a": SimpleNamespace(passed=True, violations=7)}
    for results in (broken, None, 7):
        compat.send_policy_evaluation_event(["a"], results, 1.0, {}, "1.0.2")  # type: ignore[arg-type]
    assert caplog.messages
    assert not world.home.exists()


SCAN = {"mode": "cli", "profile": "fast", "tools_succeeded": 1, "tools_failed": 0}
RANGES = [
    ("scan.completed", "duration_seconds", "duration_bucket", compat.bucket_duration),
    ("scan.completed", "findings", "total_findings_bucket", compat.bucket_findings),
    ("scan.started", "total_targets", "total_targets_bucket", compat.bucket_targets),
    ("policy.evaluated", "violations", "violations_bucket", compat.bucket_violations),
    ("policy.evaluated", "evaluation_ms", "evaluation_time_bucket", compat.bucket_duration_ms),
]
WHOLE = {"tools": [], "target_types": {}, "policies": [], "passed_count": 0, "failed_count": 0}
ZERO = {"duration_seconds": 0, "findings": 0, "violations": 0, "evaluation_ms": 0}


@pytest.mark.parametrize(("event", "number", "bucket", "function"), RANGES)
def test_a_range_is_the_one_that_the_program_gives(
    world: World, event: str, number: str, bucket: str, function: Callable[[float], str]
) -> None:
    """Look at every bound and beside it; the program says which words there are."""
    bounds = (0, 1, 2, 5, 6, 10, 11, 20, 50, 51, 99, 100, 101, 300, 499, 500, 900, 1000, 1001, 1800)
    numbers: list[float] = [-5, *(bound + step for bound in bounds for step in (-1, 0, 1))]
    if "duration" in number or "ms" in number:
        numbers += [49.9, 99.9, 299.999, 899.5, 1799.999]
    from jmo_telemetry import record_many

    metadata = {**SCAN, **WHOLE, **ZERO}
    assert record_many((event, {**metadata, number: value}) for value in numbers)
    given = [event["metadata"][bucket] for event in world.events()]
    assert [function(value) for value in numbers] == given
    assert set(given) == set(words_of(world, event, bucket))


def words_of(world: World, event: str, field: str) -> list[str]:
    """Give the words that `info` lists for a field."""
    info = json.loads(world.run("info", "--json"))
    (described,) = [each for each in info["events"] if each["event"] == event]
    (values,) = [each["values"] for each in described["metadata"] if each["name"] == field]
    words = values.split("one of ")[1].split(" (")[0].split(" or ")[0]
    return [word.strip() for word in words.split(",")]


def test_every_event_of_info_is_recorded_and_stays_as_it_is(world: World) -> None:
    info = json.loads(world.run("info", "--json"))
    names = [described["event"] for described in info["events"]]
    assert len(names) == 6
    for described in info["events"]:
        example = described["example"]
        compat.send_event(example["event"], example["metadata"], {}, example["version"])
        assert world.metadata() == example["metadata"]


def test_ci_is_what_the_program_takes_for_ci(world: World) -> None:
    assert compat.detect_ci_environment() is False
    for name in CI:
        world.set(name, "")
        assert compat.detect_ci_environment() is False
        world.set(name, "x")
        assert compat.detect_ci_environment() is True
        assert compat.is_telemetry_enabled({}) is False
        world.unset(name)


def test_scans_are_counted_once_each_and_hinted(world: World) -> None:
    hints = []
    for _ in range(11):
        hints.append(compat.infer_scan_frequency())
        started = {"mode": "cli", "profile": "fast", "tools": [], "target_types": {}}
        compat.send_event("scan.started", {**started, "scan_frequency_hint": hints[-1]}, {})
    assert hints == ["first_time", *["weekly"] * 9, "daily"]
    assert [event["metadata"]["scan_frequency_hint"] for event in world.events()] == hints
    assert (world.home / "scan-count").read_text() == "11"


def test_scans_that_start_at_once_are_all_counted(world: World) -> None:
    code = "from jmo_telemetry.compat import *; print(infer_scan_frequency())"
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(12)]
    hints = sorted(process.communicate()[0].strip() for process in running)
    assert hints == sorted(["first_time", *["weekly"] * 9, "daily", "daily"])


@pytest.mark.parametrize("kind", ["a folder", "not writable", "no program"])
def test_a_scan_that_cannot_be_counted_gives_none(world: World, kind: str) -> None:
    if kind == "no program":
        world.set("JMO_TELEMETRY_BIN", "missing")
    elif kind == "a folder":
        (world.home / "scan-count").mkdir(parents=True)
    else:
        world.home.write_text("a file")
    assert compat.infer_scan_frequency() is None


def test_the_id_is_made_once_and_is_the_programs(world: World) -> None:
    anonymous_id = compat.get_anonymous_id()
    assert (world.home / "telemetry-id").read_text() == anonymous_id
    assert compat.get_anonymous_id() == anonymous_id == world.run("id").strip()
    record("tool.failed", FAILED)
    assert world.events()[0]["anonymous_id"] == anonymous_id
    assert (world.home / "telemetry-id").stat().st_mode & 0o777 == 0o600


def test_the_banner_is_shown_on_the_first_three_scans(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for _ in range(5):
        shown.append(compat.should_show_telemetry_banner())
        assert capsys.readouterr() == ("", "")
        compat.show_telemetry_banner(mode="cli")
        said = capsys.readouterr()
        assert said.out == ""
        assert bool(said.err) is shown[-1]
        compat.infer_scan_frequency()
    assert shown == [True, True, True, False, False]


def test_the_banner_is_shown_on_every_run_in_the_scanners_image(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.set("DOCKER_CONTAINER", "1")
    world.home.mkdir(mode=0o700)
    (world.home / "scan-count").write_text("7")
    assert compat.should_show_telemetry_banner() is True
    compat.show_telemetry_banner()
    assert "jmo-telemetry" in capsys.readouterr().err


def test_the_scanner_imports_it_in_one_line(world: World) -> None:
    former = world.folder / "scripts/core/telemetry.py"
    former.parent.mkdir(parents=True)
    former.write_text("from jmo_telemetry.compat import *  # noqa: F403\n")
    names = ", ".join(FORMER)
    world.set("PYTHONPATH", f"{PACKAGE}:{world.folder}")
    world.says(
        f"from scripts.core.telemetry import {names}\nsend_event('tool.failed', {FAILED}, {{}})"
    )
    assert len(world.events()) == 1


def test_the_example_runs(world: World) -> None:
    """Its output is what docs/scanner.md shows."""
    script = PACKAGE / "examples/scan.py"
    ran = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    assert [event["event"] for event in world.events()] == [
        "scan.started",
        "tool.failed",
        "scan.completed",
    ]
    assert "JMo Security records anonymous usage events" in ran.stderr
    assert PROGRAM.name in ran.stderr
