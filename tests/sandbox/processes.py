"""Server processes that start, become ready, and are gone afterwards, whatever happens in between."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

# Ends a server's group once this Python is gone, even by kill -9: its standard input is a pipe only we hold
# open. By hand, because PR_SET_PDEATHSIG reaches the first process alone rather than its group, fires as soon
# as the starting *thread* ends, and exists on Linux only.
_GUARD = 'read -r _; kill -s TERM -- "-$1"; sleep "$2"; kill -s KILL -- "-$1"'
_KILL_SECONDS = 5


class SandboxError(Exception):
    """A part of the sandbox cannot start; the message says why."""


class NotInstalled(SandboxError):
    """This machine has no such part; the message says what to install or set."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether an HTTP server answers there, be it only to ask for a password; any certificate will do."""
    try:
        return httpx.get(url, timeout=5, trust_env=False, verify=False).status_code < 500
    except httpx.HTTPError:
        return False


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float = 60,
    grace: float = 10,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in a session of its own, with its output in ``log``, from ready until the block ends.

    Args:
        command: the program and its arguments.
        log: the file for its output.
        ready: asked again and again until it says yes.
        env: the whole environment; by default this process's own.
        folder: the working directory; the log's by default.
        timeout: seconds until a server that isn't ready counts as failed.
        grace: seconds between SIGTERM and SIGKILL at the end.

    Raises:
        SandboxError: it ended or wasn't ready in time; the message holds the end of its log.
    """
    process = _start(command, log, env, folder or log.parent)
    try:
        with _guarded(process.pid, grace):
            _wait(process, str(command[0]), log, ready, timeout)
            yield process
    finally:
        _stop_group(process, grace)


def _start(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None, folder: Path
) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=env,
            start_new_session=True,
        )


@contextmanager
def _guarded(group: int, grace: float) -> Iterator[None]:
    guard = subprocess.Popen(
        ["sh", "-c", _GUARD, "sandbox-guard", str(group), str(grace)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        # Killed before the pipe closes, so that it can't take an orderly end for our death.
        guard.kill()
        guard.communicate()


def _wait(process: subprocess.Popen[bytes], name: str, log: Path, ready: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while process.poll() is None:
        if ready():
            return
        if time.monotonic() > deadline:
            raise SandboxError(f"{name} wasn't ready after {timeout:.0f} s.\n{_tail(log)}")
        time.sleep(0.05)
    raise SandboxError(f"{name} ended with code {process.returncode}.\n{_tail(log)}")


def _tail(log: Path, lines: int = 20) -> str:
    return "\n".join([f"The end of {log}:", *log.read_text(errors="replace").splitlines()[-lines:]])


def _stop_group(process: subprocess.Popen[bytes], grace: float) -> None:
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _KILL_SECONDS)):
        _signal_group(process.pid, number)
        if _gone_within(process, patience):
            return


def _gone_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()  # reaps the leader, which would count as alive otherwise
        if not _signal_group(process.pid, 0):
            return True
        time.sleep(0.02)
    return False


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
