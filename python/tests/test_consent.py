"""A no is obeyed, in whatever form it comes: nothing is recorded, and the home is not touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conftest import CI, FAILED, World

from jmo_telemetry import banner, compat, flush_later, record, status

if TYPE_CHECKING:
    from typing import Any

VARIABLES = [
    ("JMO_TELEMETRY_DISABLE", "1"),
    ("JMO_TELEMETRY_DISABLE", "yes"),
    ("JMO_TELEMETRY_DISABLE", "whatever"),
    ("DO_NOT_TRACK", "1"),
    *((name, "true") for name in CI),
]
NO: list[Any] = [
    {"telemetry": {"enabled": False}},
    {"telemetry": {"enabled": "false"}},
    {"telemetry": {"enabled": "No"}},
    {"telemetry": {"enabled": " off "}},
    {"telemetry": {"enabled": 0}},
    {"telemetry": {"enabled": None}},
    {"telemetry": {"enabled": "perhaps"}},
    {"telemetry": {"enabled": []}},
    {"telemetry": False},
    {"telemetry": "no"},
    {"telemetry": 7},
    {"telemetry.enabled": False},
    {"telemetry.enabled": "no", "telemetry": {"enabled": True}},
    ["telemetry"],
    "no",
]
YES: list[Any] = [
    {},
    None,
    {"telemetry": None},
    {"telemetry": {}},
    {"telemetry": {"enabled": True}},
    {"telemetry": {"enabled": "yes"}},
    {"telemetry": True},
    {"profile": "fast", "tools": object()},
]


class Section:
    """A part of the scanner's own configuration object."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled


def nothing_is_recorded_or_said(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Do all that a scanner does."""
    assert record("tool.failed", FAILED) is False
    assert banner("docker") is False
    compat.send_event("tool.failed", FAILED, {}, "1.0.2")
    assert compat.should_show_telemetry_banner() is False
    compat.show_telemetry_banner()
    assert compat.infer_scan_frequency() is None
    assert compat.is_telemetry_enabled({}) is False
    flush_later()
    assert status()["enabled"] is False
    assert capsys.readouterr() == ("", "")
    assert not world.home.exists()


@pytest.mark.parametrize(("name", "value"), VARIABLES)
def test_a_no_in_the_environment(
    world: World,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
    value: str,
) -> None:
    world.set(name, value)
    nothing_is_recorded_or_said(world, capsys)
    assert caplog.messages == []


@pytest.mark.parametrize(
    "text", ["telemetry: {enabled: no}", "telemetry: off", "telemetry: [", "7"]
)
def test_a_no_in_jmo_yml_of_the_working_folder(
    world: World, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (world.folder / "jmo.yml").write_text(text)
    nothing_is_recorded_or_said(world, capsys)


def test_the_users_own_no(world: World) -> None:
    world.run("disable")
    assert record("tool.failed", FAILED) is False
    compat.send_event("tool.failed", FAILED, {"telemetry": {"enabled": True}})
    assert compat.infer_scan_frequency() is None
    assert world.events() == []
    world.run("enable")
    assert record("tool.failed", FAILED) is True


@pytest.mark.parametrize("config", [*NO, {"telemetry": Section(enabled=False)}])
def test_a_no_in_the_configuration_that_is_passed(world: World, config: Any) -> None:
    assert compat.is_telemetry_enabled(config) is False
    compat.send_event("tool.failed", FAILED, config)
    compat.send_policy_evaluation_event(["pci-dss"], {}, 1.0, config, "1.0.2")
    assert not world.home.exists()


@pytest.mark.parametrize("config", [*YES, {"telemetry": Section(enabled=True)}])
def test_a_configuration_that_does_not_say_no(world: World, config: Any) -> None:
    assert compat.is_telemetry_enabled(config) is True
    compat.send_event("tool.failed", FAILED, config)
    assert len(world.events()) == 1


@pytest.mark.parametrize("config", [config for config in NO + YES if isinstance(config, dict)])
def test_a_configuration_means_what_it_means_in_jmo_yml(world: World, config: Any) -> None:
    """The program reads the same as YAML, of which JSON is a part."""
    import json

    plain = {key: value for key, value in config.items() if key != "tools"}
    by_client = compat.is_telemetry_enabled(plain)
    (world.folder / "jmo.yml").write_text(json.dumps(plain))
    assert by_client == status()["enabled"]
