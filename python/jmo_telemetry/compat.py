"""The scanner's former module `scripts/core/telemetry.py`, under its own public names.

The whole change in the scanner is that this one line takes the place of that file:

    from jmo_telemetry.compat import *

What is different: an event is on disk when `send_event` returns, and is uploaded later; every
user's events are recorded, with or without a token; the notice says what can really leave the
machine. Importing this touches no file.
"""

from __future__ import annotations

from . import _answer, banner, quietly, record, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "bucket_duration",
    "bucket_duration_ms",
    "bucket_findings",
    "bucket_targets",
    "bucket_violations",
    "detect_ci_environment",
    "get_anonymous_id",
    "infer_scan_frequency",
    "is_telemetry_enabled",
    "send_event",
    "send_policy_evaluation_event",
    "should_show_telemetry_banner",
    "show_telemetry_banner",
]

_CI = (
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "JENKINS_URL",
    "BUILD_ID",
    "CIRCLECI",
    "TRAVIS",
    "TF_BUILD",
    "BITBUCKET_PIPELINE_UUID",
)


def send_event(
    event_type: str,
    metadata: Mapping[str, Any],
    config: Mapping[str, Any],
    version: str = "1.0.0",
) -> None:
    """Record an event, unless the user said no; it is on disk on return, and uploaded later.

    Args:
        event_type: its name, like "scan.started".
        metadata: its fields.
        config: the scanner's configuration. A no in it is obeyed; {} leaves the matter to the
            environment, `jmo.yml` in the working folder, and the user's own choice.
        version: the scanner's version.

    """
    if _allows(config):
        record(event_type, metadata, version=version)


def send_policy_evaluation_event(
    policy_names: list[str],
    results: Mapping[str, Any],
    duration_ms: float,
    config: Mapping[str, Any],
    version: str,
) -> None:
    """Record that policies were evaluated: which, how many passed, and ranges.

    Args:
        policy_names: the policies; other names than those of the built-in ones become "custom".
        results: by name, objects with `passed` and `violations`.
        duration_ms: how long it took, in milliseconds.
        config: as for `send_event`.
        version: the scanner's version.

    """

    def metadata() -> dict[str, Any]:
        passed = sum(1 for result in results.values() if getattr(result, "passed", False))
        violations = sum(len(getattr(result, "violations", ())) for result in results.values())
        return {
            "policy_count": len(policy_names),
            "violations_bucket": bucket_violations(violations),
            "evaluation_time_bucket": bucket_duration_ms(duration_ms),
            "policies": sorted(policy_names),
            "passed_count": passed,
            "failed_count": len(results) - passed,
        }

    fields = quietly(metadata, otherwise=None)
    if fields is not None:
        send_event("policy.evaluated", fields, config, version)


def bucket_duration(seconds: float) -> str:
    """Give the range of a scan's duration in seconds."""
    return _bucket(seconds, {300: "<5min", 900: "5-15min", 1800: "15-30min"}, ">30min")


def bucket_findings(count: int) -> str:
    """Give the range of a number of findings; a bound belongs to the range below it."""
    if count <= 0:
        return "0"
    return _bucket(count - 1, {10: "1-10", 100: "10-100", 1000: "100-1000"}, ">1000")


def bucket_targets(count: int) -> str:
    """Give the range of a number of targets; none counts as one."""
    return _bucket(count - 1, {1: "1", 5: "2-5", 10: "6-10", 50: "11-50"}, ">50")


def bucket_violations(count: int) -> str:
    """Give the range of a number of policy violations; a bound belongs to the range below it."""
    if count <= 0:
        return "0"
    return _bucket(count - 1, {5: "1-5", 20: "5-20", 100: "20-100"}, ">100")


def bucket_duration_ms(ms: float) -> str:
    """Give the range of an evaluation's duration in milliseconds."""
    return _bucket(ms, {50: "<50ms", 100: "50-100ms", 500: "100-500ms"}, ">500ms")


def _bucket(number: float, ranges: dict[int, str], otherwise: str) -> str:
    """Give the first range whose bound is above the number."""
    return next((words for bound, words in ranges.items() if number < bound), otherwise)


def detect_ci_environment() -> bool:
    """Tell whether this runs in CI: one of nine variables is set and not empty."""
    import os

    return any(os.environ.get(name) for name in _CI)


def infer_scan_frequency() -> str | None:
    """Count this scan, and give the hint for "scan.started".

    An event that brings the hint is not counted again. Nothing is counted while telemetry is
    disabled.

    Returns:
        "first_time", "weekly" (2nd to 10th scan), "daily" (from the 11th), or None when the scan
        could not be counted.

    """
    hint = quietly(lambda: _answer("count-scan", "--json")["scan_frequency_hint"], otherwise=None)
    return hint if isinstance(hint, str) else None


def should_show_telemetry_banner() -> bool:
    """Tell whether the notice is due: on the first 3 scans, and in the scanner's Docker image."""
    shown = quietly(
        lambda: _answer("banner", "--json", "--mode", _mode())["shown"], otherwise=False
    )
    return shown is True


def show_telemetry_banner(mode: str = "cli") -> None:
    """Show the notice on stderr, when it is due.

    Args:
        mode: how the scanner was started: "cli", "wizard" or "docker".

    """
    banner(_mode() if mode == "cli" else mode)


def _mode() -> str:
    """Give the mode of a scanner that does not say it: its Docker image sets a variable."""
    import os

    return "docker" if os.environ.get("DOCKER_CONTAINER") == "1" else "cli"


def is_telemetry_enabled(config: Mapping[str, Any]) -> bool:
    """Tell whether events are recorded: the configuration does not say no, nor does the program.

    Args:
        config: as for `send_event`.

    """
    return _allows(config) and status().get("enabled") is True


def get_anonymous_id() -> str:
    """Give this machine's anonymous id, a UUIDv4; it is made when there is none.

    Returns:
        The id, or "" when the program can neither read nor make one.

    """

    def create() -> str:
        return str(_answer("id", "--create", "--json")["anonymous_id"])

    return quietly(create, otherwise="")


def _allows(config: Any) -> bool:
    """Tell whether a configuration leaves telemetry enabled, by the rules of `jmo.yml`.

    What is neither a yes nor a no is a no. The scanner passes a dict, whose value may be an
    object with an attribute `enabled`.
    """

    def allows() -> bool:
        telemetry = (config or {}).get("telemetry")
        flat = (config or {}).get("telemetry.enabled", True)
        if telemetry is None:
            return _is_yes(flat)
        if hasattr(telemetry, "get"):
            telemetry = telemetry.get("enabled", True)
        else:
            telemetry = getattr(telemetry, "enabled", telemetry)
        return _is_yes(flat) and _is_yes(telemetry)

    return quietly(allows, otherwise=False)


def _is_yes(value: object) -> bool:
    """Tell whether a value of the configuration means yes."""
    if isinstance(value, str):
        return value.strip().lower() in {"yes", "on", "true", "1", "enabled"}
    return value is True or (type(value) is int and value == 1)
