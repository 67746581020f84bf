"""Run the program: the one place that starts a process.

A call is one process that has ended when the call returns. It has its own session, so that a
Ctrl-C meant for the scanner does not take it. Nothing depends on its exit status, which is gone
where the scanner ignores SIGCHLD, and nothing is kept between calls, which is why threads, `fork`
and `atexit` need no care.
"""

from __future__ import annotations

import os

from ._find import find_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from subprocess import Popen

# `record` ends within 4 s. With the time that killing takes, a call stays below 5 s.
_DEADLINE = 4.8
_KILLED_WITHIN = 0.1

_KILL = 9


class Answer:
    """What the program said. Its exit status is 0 where the host had it taken away."""

    def __init__(self, status: int, said: bytes, talk: bytes) -> None:
        self.status = status
        self.said = said
        self.talk = talk


def run(*arguments: str, data: bytes = b"") -> Answer:
    """Run the program on `data` as its stdin and wait until it has ended.

    Raises:
        OSError: it cannot be found or started.
        TimeoutError: it did not end within 4.8 s; it was killed.

    """
    command = [os.fspath(find_program()), *arguments]
    if _has_memory_files():
        return _run_on_files(command, data)
    return _run_on_pipes(command, data)


def _environment() -> Mapping[str, str]:
    """Give the environment; without HOME, which the static program needs, it is looked up."""
    if os.name == "nt" or os.environ.get("HOME") or os.environ.get("JMO_TELEMETRY_HOME"):
        return os.environ
    import pwd

    try:
        return {**os.environ, "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    except KeyError:  # a container's user of no name
        return os.environ


def _timed_out(command: list[str]) -> TimeoutError:
    return TimeoutError(f"{command[0]} did not end within {_DEADLINE} s")


# On Linux nothing is piped. A process that another thread forks at the wrong moment inherits every
# pipe, and neither our reading of one nor the program's would end before that process does.
# `subprocess` itself waits for such a pipe, without a limit.


def _has_memory_files() -> bool:
    """Tell whether there are files in memory and handles of processes: Linux 5.3."""
    try:
        os.close(os.memfd_create("jmo-telemetry"))
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _run_on_files(command: list[str], data: bytes) -> Answer:
    """Run the program with files in memory for stdin, stdout and stderr."""
    files: list[int] = []
    try:
        files.extend(map(_memory_file, (data, b"", b"")))
        status = _spawn(command, files)
        return Answer(status, _content(files[1]), _content(files[2]))
    finally:
        for file in files:
            os.close(file)


def _memory_file(content: bytes) -> int:
    """Give a file in memory. It never takes the number of a standard stream that is closed."""
    import fcntl

    file = os.memfd_create("jmo-telemetry")
    try:
        os.write(file, content)
        os.lseek(file, 0, os.SEEK_SET)
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(file)


def _content(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def _spawn(command: list[str], streams: list[int]) -> int:
    """Start the program on these streams and wait for it; give its exit status."""
    ours = [(os.POSIX_SPAWN_DUP2, file, stream) for stream, file in enumerate(streams)]
    not_ours = [(os.POSIX_SPAWN_CLOSE, handle) for handle in _handles_of_the_host()]
    pid = os.posix_spawn(
        command[0], command, _environment(), file_actions=[*ours, *not_ours], setsid=True
    )
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0  # it has ended, and the host reaped it
    try:
        if not _ends(process, _DEADLINE):
            os.killpg(pid, _KILL)
            raise _timed_out(command)
    finally:
        # After a Ctrl-C too it is given the moment that it needs, so that no zombie stays.
        _ends(process, _KILLED_WITHIN)
        os.close(process)
        status = _reap(pid)
    return status


def _handles_of_the_host() -> Iterator[int]:
    """Give the handles that the program would inherit, and hold for as long as a flush takes."""
    try:
        handles = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return
    for handle in handles:
        if handle > 2:  # noqa: PLR2004
            yield handle


def _ends(process: int, seconds: float) -> bool:
    """Wait until a process ends; tell whether it did."""
    import select

    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _reap(pid: int) -> int:
    """Give the exit status of a process that has ended, so that nothing of it is left."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, os.WNOHANG)[1])
    except ChildProcessError:
        return 0


def _run_on_pipes(command: list[str], data: bytes) -> Answer:
    """Run the program as any other system can."""
    import subprocess

    windows = {"CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        start_new_session=True,
        creationflags=sum(getattr(subprocess, flag, 0) for flag in windows),
    )
    try:
        said, talk = process.communicate(data, timeout=_DEADLINE)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise _timed_out(command) from None
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Answer(process.returncode, said, talk)


def _kill(process: Popen[bytes]) -> None:
    """Kill the program, and where there are sessions what it started in its own."""
    import contextlib
    import subprocess

    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, _KILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILLED_WITHIN)
