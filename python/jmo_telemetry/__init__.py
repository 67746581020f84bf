"""Record what JMo Security did, for as long as the user does not say no.

Each function starts the program `jmo-telemetry` once and waits until it has ended. An event is
on disk when `record` returns True; `flush_later` starts the upload in the background. Whether
anything is recorded or sent is the program's to decide, so that there is one truth.

Nothing here raises an `Exception` but `find_program`, writes to stdout or takes longer than 5 s.
What goes wrong is said once in a process through `logging`, by the logger "jmo_telemetry".
"""

from __future__ import annotations

from ._find import find_program
from ._run import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    _T = TypeVar("_T")

__all__ = ["banner", "find_program", "flush_later", "record", "record_many", "status"]

MODES = ("cli", "wizard", "docker")


def record(event: str, metadata: Mapping[str, Any], *, version: str | None = None) -> bool:
    """Record one event; True when it is on disk.

    False when telemetry is disabled, when the event is not one that may be collected, or when
    the program cannot do it.

    Args:
        event: its name, like "scan.started"; `jmo-telemetry info` lists all.
        metadata: its fields. Where a field holds a range, the number can be given instead.
        version: the scanner's version.

    """
    return record_many([(event, metadata)], version=version)


def record_many(
    events: Iterable[tuple[str, Mapping[str, Any]]], *, version: str | None = None
) -> bool:
    """Record several events by one process, which costs little more than one; True when all are.

    Args:
        events: pairs of a name and metadata, as `record` takes them.
        version: the scanner's version.

    """

    def line(event: tuple[str, Mapping[str, Any]]) -> bytes:
        """Give an event's line, or nothing: it must not take the others with it."""

        def written() -> bytes:
            try:
                return _line(event, version)
            except Exception as error:
                say_once(f"a telemetry event was not recorded: {error}")
                return b""

        return quietly(written, otherwise=b"")

    def record_all() -> bool:
        lines = [line(event) for event in events]
        answer = _answer("record", "--stdin", "--json", data=b"".join(lines))
        for rejected in answer["rejected"]:
            say_once(f"a telemetry event was not recorded: {rejected['error']}")
        if answer["dropped_fields"]:
            names = ", ".join(answer["dropped_fields"])
            say_once(f"telemetry does not know these fields and left them out: {names}")
        return bool(lines) and answer["recorded"] == len(lines)

    return quietly(record_all, otherwise=False)


def flush_later() -> bool:
    """Start an upload of what waits, in the background; True when the program took the request.

    The upload is a process of its own session that outlives this one and ends by itself. In a
    container whose first process is the scanner it ends with the scanner, and the next run goes on.
    """

    def start() -> bool:
        _answer("record", "--stdin", "--flush", "--json")
        return True

    return quietly(start, otherwise=False)


def status() -> dict[str, Any]:
    """Give what `jmo-telemetry status --json` says, or {} when the program cannot say it."""
    return quietly(lambda: _answer("status", "--json"), otherwise={})


def banner(mode: str = "cli") -> bool:
    """Show the notice on stderr when it is due; True when it was shown.

    Args:
        mode: how the scanner was started: "cli", "wizard" or "docker".

    """

    def show() -> bool:
        if mode not in MODES:
            message = f"the mode of a banner is one of {', '.join(MODES)}"
            raise ValueError(message)
        ran = run("banner", "--mode", mode)
        notice = ran.talk.decode(errors="replace")
        if ran.status != 0:
            raise ValueError(_first_line(notice))
        if not notice:
            return False
        import sys

        print(notice, end="", file=sys.stderr, flush=True)  # noqa: T201
        return True

    return quietly(show, otherwise=False)


def quietly(call: Callable[[], _T], *, otherwise: _T) -> _T:
    """Give what `call` gives; after an exception say so once, and give `otherwise`."""
    try:
        try:
            return call()
        except Exception as error:
            say_once(f"telemetry does not work: {error}", topic=type(error).__name__)
    except Exception:  # noqa: S110 - not even logging works
        pass
    return otherwise


_said: dict[str, object] = {}
_SAID_MOST = 50


def say_once(message: str, *, topic: str | None = None) -> None:
    """Log a message the first time that its topic comes up in this process."""
    mine = object()
    if len(_said) < _SAID_MOST and _said.setdefault(topic or message, mine) is mine:
        import logging

        logging.getLogger(__name__).warning("%s", message)


def _line(event: tuple[str, Mapping[str, Any]], version: str | None) -> bytes:
    """Give the input line of an event."""
    import sys

    name, metadata = event
    fields = dict(metadata)
    line = {
        "event": name,
        "version": version,
        "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "metadata": fields,
    }
    try:
        return _json(line) + b"\n"
    except (TypeError, ValueError):
        for field, value in fields.items():
            _check(name, field, value)
        raise


def _check(event: str, field: str, value: object) -> None:
    """Raise an error that names the field when it cannot be written as JSON."""
    try:
        _json({field: value})
    except (TypeError, ValueError) as error:
        reason = str(error)
        if reason.startswith("Out of range float"):
            reason = "NaN and Infinity are not JSON numbers"
        message = f"{event}: field `{field}` cannot be written as JSON: {reason}"
        raise ValueError(message) from error


def _json(value: object) -> bytes:
    """Give a value as JSON. `json` would write NaN and Infinity, which are not JSON."""
    import json

    return json.dumps(value, default=_plain, allow_nan=False).encode()


def _plain(value: object) -> object:
    """Give a set as a list. Other types become what no field accepts, so the program names it."""
    return sorted(value, key=str) if isinstance(value, set | frozenset) else [None]


def _answer(*arguments: str, data: bytes = b"") -> dict[str, Any]:
    """Give the one JSON object that the program answers with."""
    import json

    ran = run(*arguments, data=data)
    try:
        answer = json.loads(ran.said)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        said = _first_line(ran.talk.decode(errors="replace")) or "it gave no answer"
        message = f"{find_program()}: {said}"
        raise ValueError(message)  # noqa: TRY004 - it is not the caller's type that is wrong
    return answer


def _first_line(text: str) -> str:
    """Give the first line of an error, fit for a log."""
    line = text.strip().partition("\n")[0][:300]
    return "".join(character for character in line if character.isprintable())
