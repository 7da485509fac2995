"""The one door to other programs: bounded in time, redacted, and with nothing left behind."""

import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import IO

from tasks.core.system import interruption

KEPT = ("PATH", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO")
"""What a child sees of this process's environment, beside the proxies."""

PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


class CommandFailed(Exception):
    """A program ended with an error, or did not end in time.

    Args:
        command: the argument list.
        code: exit status; negative for a signal; ``None`` when time ran out.
        stderr: what it said, secrets replaced.
    """

    def __init__(self, command: Sequence[str], code: int | None, stderr: str) -> None:
        super().__init__(list(command), code, stderr)
        self.command, self.code, self.stderr = list(command), code, stderr

    def __str__(self) -> str:
        outcome = "ran out of time" if self.code is None else f"ended with {self.code}"
        return f"`{' '.join(self.command)}` {outcome}: {self.stderr.strip()}"


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a child's environment: what it needs to run and reach the network, English messages, ``extra``."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.lower() in PROXIES}
    return {**kept, "LC_ALL": "C", **(extra or {})}


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    stdin: bytes = b"",
    secrets: Sequence[str] = (),
    most: int = 0,
) -> bytes:
    """Run a program to its end and return what it printed.

    Args:
        command: program and arguments; no shell is involved.
        env: the whole environment of the child.
        timeout: seconds.
        stdin: what the child reads.
        secrets: texts to be replaced in the error.
        most: bytes that it may print, if not any number; it reads nothing then.

    Raises:
        CommandFailed: the exit status is not zero, the time ran out, or it printed too much.
    """
    with _group(command, env, stderr=subprocess.PIPE) as child:
        ended = False
        # Raised below, beyond this exception's reach: it holds what was said so far, secrets and all.
        with suppress(subprocess.TimeoutExpired):
            bounded = _communicate(command, child, timeout, most) if most else None
            out, err = bounded or child.communicate(stdin, timeout=timeout)
            ended = True
    interruption.check(command[0])
    if not ended:
        raise CommandFailed(command, None, f"no end after {timeout:g} seconds")
    if child.returncode:
        raise CommandFailed(command, child.returncode, redact(err.decode(errors="replace"), secrets))
    return bytes(out)


def start(
    command: Sequence[str], *, env: Mapping[str, str], stderr: int = subprocess.DEVNULL
) -> "subprocess.Popen[bytes]":
    """Start a program to talk with through pipes, until :func:`end`."""
    # A session of its own, so that the helpers a program starts (git's transports) can be ended with it.
    return subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
    )


def attach(
    command: Sequence[str], connection: socket.socket, *, env: Mapping[str, str], stderr: int
) -> "subprocess.Popen[bytes]":
    """Start a program whose input and output are a connection, until :func:`end`."""
    return subprocess.Popen(
        command,
        env=env,
        stdin=connection.fileno(),
        stdout=connection.fileno(),
        stderr=stderr,
        start_new_session=True,
    )


def end(child: "subprocess.Popen[bytes]") -> None:
    """End a program that was started, and its helpers."""
    with suppress(BrokenPipeError), child:  # of one that is gone, its input cannot be sent to the end
        kill(child)


@contextmanager
def stream(command: Sequence[str], *, env: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """Run a program and read its output as it comes; on leaving, it has ended or is ended.

    Raises:
        CommandFailed: the output was read to its end and the exit status is not zero.
    """
    with _group(command, env, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None  # noqa: S101 - a pipe, for the type checker
        yield child.stdout
        child.stdout.read()  # what the reader left, so that the program is not stuck with it
        if child.wait():
            interruption.check(command[0])
            raise CommandFailed(command, child.returncode, "its output is not complete")


@contextmanager
def fed(
    command: Sequence[str], stdin: Generator[bytes], *, env: Mapping[str, str], timeout: float
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program that reads ``stdin`` while its output, errors among it, is read line by line.

    The one who reads it reads to the end; the block ends with the program.

    Raises:
        CommandFailed: it did not end in time.
        Exception: what ``stdin`` raised, because of which its input was not complete.
    """
    late, failures = threading.Event(), list[Exception]()
    with closing(stdin), _group(command, env, stderr=subprocess.STDOUT) as child:
        feeder = threading.Thread(target=_feed, args=(child, stdin, failures), daemon=True)
        deadline = threading.Timer(timeout, _end_late, (child, late))
        try:
            feeder.start()
            deadline.start()
            yield child
            child.wait()
        finally:
            deadline.cancel()
            kill(child)
            feeder.join()
    for failure in failures:
        raise failure
    if late.is_set():
        raise CommandFailed(command, None, f"no end after {timeout:g} seconds")


def kill(child: "subprocess.Popen[bytes]") -> None:
    """Kill a program that was started, and its helpers; from any thread."""
    # Not poll(): a program that has ended unasked for keeps its group's id, and its helpers may live.
    if child.returncode is None:
        os.killpg(child.pid, signal.SIGKILL)


def _end_late(child: "subprocess.Popen[bytes]", late: threading.Event) -> None:
    late.set()
    kill(child)


def _feed(child: "subprocess.Popen[bytes]", stdin: Generator[bytes], failures: list[Exception]) -> None:
    assert child.stdin is not None  # noqa: S101 - a pipe, for the type checker
    try:
        with suppress(BrokenPipeError), closing(stdin), child.stdin:  # it has ended, or needs no more
            for piece in stdin:
                child.stdin.write(piece)
    except Exception as failure:  # raised where the program is waited for
        failures.append(failure)
        kill(child)


def redact(text: str, secrets: Sequence[str]) -> str:
    """``text`` with every secret replaced by asterisks."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "********")
    return text


def _communicate(
    command: Sequence[str], child: "subprocess.Popen[bytes]", timeout: float, most: int
) -> tuple[bytes, bytes]:
    """As ``Popen.communicate``, up to a number of bytes."""
    assert child.stdin and child.stdout and child.stderr  # noqa: S101 - pipes, for the type checker
    child.stdin.close()
    said, until = {pipe.fileno(): bytearray() for pipe in (child.stdout, child.stderr)}, time.monotonic() + timeout
    with selectors.DefaultSelector() as pipes:
        for pipe in said:
            pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map():
            for key, _ in pipes.select(max(0, until - time.monotonic())):
                if not (new := os.read(key.fd, 1 << 20)):
                    pipes.unregister(key.fd)
                said[key.fd] += new
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(command, timeout)
            if sum(map(len, said.values())) > most:
                raise CommandFailed(command, None, f"more than {most:,} bytes of output")
    child.wait(max(0.1, until - time.monotonic()))
    out, err = map(bytes, said.values())
    return out, err


@contextmanager
def _group(command: Sequence[str], env: Mapping[str, str], stderr: int) -> Iterator["subprocess.Popen[bytes]"]:
    interruption.check(command[0])
    child = start(command, env=env, stderr=stderr)
    try:
        with interruption.ended_by(partial(os.killpg, child.pid, signal.SIGKILL)):
            yield child
    finally:
        end(child)
