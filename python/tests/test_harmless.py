"""The client never hurts its host: whatever the process, the program or the machine is like."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import FAILED, PROGRAM, World

import jmo_telemetry
from jmo_telemetry import banner, flush_later, record, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

RECORD = f"jmo_telemetry.record('tool.failed', {FAILED!r})"


# An event is on disk when record returns.


@pytest.mark.parametrize(
    "end", ["os._exit(7)", "os.kill(os.getpid(), signal.SIGKILL)", "os.abort()", "sys.exit()"]
)
def test_an_event_survives_any_end_of_the_process_right_after(either_way: World, end: str) -> None:
    either_way.python(f"import os, signal, sys, jmo_telemetry\nassert {RECORD}\n{end}")
    assert len(either_way.events()) == 1


def test_events_are_recorded_from_atexit_and_from_threads_that_outlive_main(
    either_way: World,
) -> None:
    out = either_way.says(
        f"""
        import atexit, threading, jmo_telemetry
        atexit.register(lambda: print({RECORD}))
        release = threading.Event()
        def late():
            release.wait()
            print({RECORD})
        threading.Thread(target=late).start()
        release.set()
        """
    )
    assert out.split() == ["True", "True"]
    assert len(either_way.events()) == 2


def test_fifty_threads_record_at_once_and_lose_nothing(either_way: World) -> None:
    out = either_way.says(
        f"""
        import os, threading, jmo_telemetry
        start, answers = threading.Barrier(50), []
        def work():
            start.wait()
            answers.append({RECORD})
        threads = [threading.Thread(target=work) for _ in range(50)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(answers.count(True))
        print(len(os.listdir('/proc/self/fd')))
        """
    )
    recorded, handles = out.split()
    assert recorded == "50"
    assert int(handles) <= 8
    assert len(either_way.events()) == 50


def test_a_forked_process_and_its_parent_both_record(either_way: World) -> None:
    out = either_way.says(
        f"""
        import os, warnings, jmo_telemetry
        assert {RECORD}
        child = os.fork()
        assert {RECORD}
        if child == 0:
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        """
    )
    assert out == "0\n"
    assert len(either_way.events()) == 3


def test_a_process_that_another_thread_forks_does_not_hold_up_a_call(world: World) -> None:
    """Each of these processes may inherit every pipe that is open at that moment."""
    out = world.says(
        f"""
        import os, signal, threading, warnings, jmo_telemetry
        warnings.simplefilter('ignore', DeprecationWarning)  # 3.12: fork with threads
        answers, children = [], []
        def work():
            for _ in range(20):
                answers.append({RECORD})
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive() and len(children) < 300:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
        thread.join()
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print(answers.count(True))
        """
    )
    assert out == "20\n"
    assert len(world.events()) == 20


# What is left behind.


def test_nothing_is_left_behind_no_process_no_handle_no_warning(either_way: World) -> None:
    """Run in a Python where a ResourceWarning is an error that is printed to stderr."""
    either_way.says(
        f"""
        import gc, os, jmo_telemetry
        from jmo_telemetry import compat
        before = os.listdir('/proc/self/fd')
        assert {RECORD}
        jmo_telemetry.status(), jmo_telemetry.flush_later(), compat.get_anonymous_id()
        compat.should_show_telemetry_banner(), compat.infer_scan_frequency()
        gc.collect()
        assert os.listdir('/proc/self/fd') == before
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        else:
            raise AssertionError('a child is left')
        """
    )


def test_stdout_is_never_written_to(either_way: World) -> None:
    ran = either_way.python(
        f"""
        import jmo_telemetry
        from jmo_telemetry import compat
        {RECORD}
        jmo_telemetry.record('no.such', dict())
        jmo_telemetry.banner(), jmo_telemetry.status(), jmo_telemetry.flush_later()
        compat.show_telemetry_banner(), compat.get_anonymous_id()
        """
    )
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_are_no_trouble(either_way: World, closed: tuple[int, ...]) -> None:
    ran = either_way.python(
        f"""
        import os, jmo_telemetry
        for stream in {closed}:
            os.close(stream)
        recorded = {RECORD}
        jmo_telemetry.banner('docker')
        os._exit(0 if recorded else 9)
        """
    )
    assert ran.returncode == 0
    assert len(either_way.events()) == 1


def test_a_host_that_ignores_its_children_is_told_the_truth(either_way: World) -> None:
    """The kernel reaps them then, and every exit status is lost."""
    ran = either_way.python(
        f"""
        import signal, jmo_telemetry
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        print({RECORD}, jmo_telemetry.record('tool.failed', dict()), bool(jmo_telemetry.status()))
        """
    )
    assert ran.stdout == "True False True\n"
    assert len(either_way.events()) == 1


def test_a_host_that_reaps_every_child_by_itself_is_told_the_truth(either_way: World) -> None:
    out = either_way.says(
        f"""
        import os, threading, jmo_telemetry
        stop = False
        def reap():
            while not stop:
                try:
                    os.wait()
                except ChildProcessError:
                    pass
        thread = threading.Thread(target=reap)
        thread.start()
        print([{RECORD} for _ in range(20)].count(True))
        stop = True
        """
    )
    assert out == "20\n"
    assert len(either_way.events()) == 20


def test_a_ctrl_c_for_the_scanner_does_not_reach_the_program(either_way: World) -> None:
    either_way.stand_in(f'ps -o sid= -p $$ >> {either_way.folder}/session; exec {PROGRAM} "$@"')
    assert record("tool.failed", FAILED)
    session = int((either_way.folder / "session").read_text())
    assert session != os.getsid(0)


def test_a_ctrl_c_during_a_call_reaches_the_scanner_at_once(either_way: World) -> None:
    either_way.stand_in(f"echo $$ > {either_way.folder}/pid; exec sleep 60")
    script = f"import jmo_telemetry; {RECORD}"
    host = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    until(
        lambda: (
            (either_way.folder / "pid").exists() and (either_way.folder / "pid").read_text().strip()
        )
    )
    host.send_signal(signal.SIGINT)
    talk = host.communicate(timeout=30)[1]
    os.kill(int((either_way.folder / "pid").read_text()), signal.SIGKILL)
    assert "KeyboardInterrupt" in talk


# A program that is missing, broken, or another one.


@pytest.fixture(
    params=[
        "exit 0",
        "exit 1",
        "echo garbage; exit 0",
        "printf '\\377\\376\\000'",
        "echo '[1, 2]'",
        "echo '{}'",
        "echo 7",
        'echo \'{"recorded": "yes", "rejected": [], "dropped_fields": [], "shown": 1}\'',
        "yes | head -c 3000000",
        "kill -9 $$",
        "exec 1>&- 2>&-; exit 3",
        "echo 'error: unknown option --json' >&2; exit 2",
    ]
)
def broken(request: pytest.FixtureRequest, either_way: World) -> Iterator[None]:
    """Give a world whose program is broken in one way or another."""
    either_way.stand_in(request.param)
    yield
    assert not either_way.home.exists()


@pytest.mark.usefixtures("broken")
def test_a_broken_program_is_false_and_said_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [record("tool.failed", FAILED) for _ in range(3)] == [False] * 3
    assert len(caplog.records) <= 1
    assert all(len(line.getMessage()) < 500 for line in caplog.records)
    banner()
    status()
    flush_later()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", ["missing", "a folder", "not executable", "no program", "empty"])
def test_a_missing_program_is_false_and_said_once(
    either_way: World, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = either_way.folder / "program"
    if kind == "a folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "not a program")
        path.chmod(0o600 if kind == "not executable" else 0o700)
    either_way.set("JMO_TELEMETRY_BIN", str(path))
    assert [record("tool.failed", FAILED) for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    assert (status(), banner(), flush_later()) == ({}, False, False)
    assert len(caplog.records) == 1


def test_the_line_about_a_broken_program_says_what_the_program_said(
    either_way: World, caplog: pytest.LogCaptureFixture
) -> None:
    either_way.stand_in("printf 'error: \\033[31mdisk is gone\\nhint: more\\n' >&2; exit 74")
    record("tool.failed", FAILED)
    (line,) = caplog.messages
    assert line.endswith("error: [31mdisk is gone")


def test_a_program_that_hangs_is_killed_with_all_that_it_started(either_way: World) -> None:
    either_way.stand_in(
        f"sleep 600 & echo $! $$ > {either_way.folder}/pids; cat > /dev/null; sleep 600"
    )
    began = time.monotonic()
    assert record("tool.failed", FAILED) is False
    assert time.monotonic() - began < 5, "the promise is a time"
    for pid in (either_way.folder / "pids").read_text().split():
        until(partial(ended, int(pid)))


def ended(pid: int) -> bool:
    """Tell whether a process has ended; one that waits to be reaped has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return True
    return state == "Z"


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, for 30 s at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_answer_does_not_wait_for_somebody_who_holds_the_streams_open(world: World) -> None:
    world.stand_in(f'(setsid sleep 20 &) ; exec {PROGRAM} "$@"')
    assert record("tool.failed", FAILED) is True


def test_the_program_inherits_no_handle_of_the_host(either_way: World) -> None:
    """A flush would hold them for half a minute after the scanner has ended: its locks, say."""
    either_way.stand_in(f'ls /proc/$$/fd > {either_way.folder}/handles; exec {PROGRAM} "$@"')
    out = either_way.says(
        f"""
        import os, jmo_telemetry
        pipes = os.pipe()
        for handle in pipes:
            os.set_inheritable(handle, True)
        print({RECORD}, *pipes)
        """
    )
    recorded, *pipes = out.split()
    inherited = (either_way.folder / "handles").read_text().split()
    assert recorded == "True"
    assert not set(pipes) & set(inherited)


def test_an_older_or_newer_program_serves_as_far_as_it_can(
    either_way: World, caplog: pytest.LogCaptureFixture
) -> None:
    either_way.stand_in(
        """
        case $1 in
          record) cat > /dev/null; echo '{"recorded": 1, "rejected": [], "dropped_fields": [], "new": 1}';;
          status) echo '{"enabled": true, "of_tomorrow": []}';;
          *) echo "error: unrecognized subcommand '$1'" >&2; exit 2;;
        esac
        """
    )
    from jmo_telemetry import compat

    assert record("tool.failed", FAILED) is True
    assert compat.is_telemetry_enabled({}) is True
    assert compat.infer_scan_frequency() is None
    assert compat.get_anonymous_id() == ""
    assert caplog.text.count("unrecognized") == 1


def test_logging_that_fails_is_no_trouble(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.set("JMO_TELEMETRY_BIN", "missing")
    monkeypatch.setitem(sys.modules, "logging", None)
    assert record("tool.failed", FAILED) is False
    assert status() == {}


def test_an_event_that_is_no_json_does_not_take_the_others_with_it(
    either_way: World, caplog: pytest.LogCaptureFixture
) -> None:
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    good = ("tool.failed", FAILED)
    bad: list[Any] = [("tool.failed", endless), ("tool.failed", None), None, ("tool.failed",)]
    assert jmo_telemetry.record_many([good, *bad, good]) is False
    assert len(either_way.events()) == 2
    assert "Circular reference" in caplog.text


def test_a_log_handler_that_records_events_itself_does_not_recurse(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.set("JMO_TELEMETRY_BIN", "missing")
    monkeypatch.setattr(caplog.handler, "emit", lambda _: record("tool.failed", FAILED))
    assert record("tool.failed", FAILED) is False


# Strange places.


@pytest.mark.parametrize("home", ["relative/home", "/nonexistent/place", "/dev/null"])
def test_a_strange_home_is_no_trouble(world: World, home: str) -> None:
    world.unset("JMO_TELEMETRY_HOME")
    world.set("HOME", home)
    ran = world.python("import jmo_telemetry; print(jmo_telemetry.status())")
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("\n") <= 1


@pytest.mark.parametrize("home", [None, ""])
def test_a_missing_home_is_looked_up(either_way: World, home: str | None) -> None:
    """The program cannot: the C library looks users up by plugins, and the program is static."""
    import pwd

    either_way.stand_in(f'echo "$HOME" > {either_way.folder}/seen')
    either_way.unset("JMO_TELEMETRY_HOME")
    if home is None:
        either_way.unset("HOME")
    else:
        either_way.set("HOME", home)
    status()
    seen = (either_way.folder / "seen").read_text().strip()
    assert seen == pwd.getpwuid(os.getuid()).pw_dir


def test_a_home_that_cannot_be_written_is_false_and_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.home.write_text("a file")
    assert record("tool.failed", FAILED) is False
    (line,) = caplog.messages
    assert str(PROGRAM) in line
    assert "home" in line


def test_a_working_folder_that_was_deleted_is_no_trouble(either_way: World, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = textwrap.dedent(
        f"""
        import os, jmo_telemetry
        os.chdir({str(gone)!r})
        os.rmdir({str(gone)!r})
        print({RECORD})
        """
    )
    ran = either_way.python(script)
    assert ran.stdout in {"True\n", "False\n"}
    assert "Traceback" not in ran.stderr


def test_many_threads_say_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.set("JMO_TELEMETRY_BIN", "missing")
    threads = [threading.Thread(target=record, args=("tool.failed", FAILED)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 1


def test_what_is_said_is_bounded(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.stand_in("cat > /dev/null; echo '{}'")
    for number in range(200):
        jmo_telemetry.say_once(f"message {number}")
    assert len(caplog.records) <= 50


# Importing.


def test_importing_touches_no_file_and_loads_no_other_module(world: World) -> None:
    world.unset("HOME")
    out = world.says(
        """
        import sys
        before = set(sys.modules)
        opened = []
        sys.addaudithook(lambda event, args: opened.append(args[0]) if event == 'open' else None)
        import jmo_telemetry
        from jmo_telemetry.compat import *
        print(sorted(set(sys.modules) - before))
        print([name for name in opened if 'jmo_telemetry' not in str(name) and '__future__' not in str(name)])
        """
    )
    modules, opened = out.splitlines()
    allowed = {
        "__future__",
        "jmo_telemetry",
        "jmo_telemetry._find",
        "jmo_telemetry._run",
        "jmo_telemetry.compat",
    }
    assert set(modules.strip("[]").replace("'", "").split(", ")) <= allowed
    assert opened == "[]"
    assert not world.home.exists()
