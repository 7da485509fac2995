"""A run that is told to stop ends within seconds, with its programs, whatever it is doing."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.stop_points import POINTS

SECONDS = 5
IN_BUILDS = ("git_fetch", "registry", "engine", "program", "slot", "ignore_matching")


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("name", "place"), [*((name, "main") for name in POINTS), *((name, "thread") for name in IN_BUILDS)]
)
def test_it_ends_within_seconds_and_leaves_nothing(name: str, place: str, silent: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    env = {**os.environ, "HOME": str(tmp_path), "DOCKER_HOST": f"tcp://{silent}"}
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)  # whose turn it is
    command = [sys.executable, "-m", "tests.core.stop_points", name, place, silent, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True) as run:
        try:
            assert run.stdout.readline() == "there\n"
            time.sleep(0.3)
            assert run.poll() is None, run.stderr.read()
            children = descendants(run.pid)
            run.send_signal(signal.SIGTERM)
            before = time.monotonic()
            _, said = run.communicate(timeout=SECONDS)
        finally:
            run.kill()
            os.close(held)
    assert time.monotonic() - before < SECONDS
    assert said.rstrip().endswith("Stopped"), said
    assert bool(children) == (name in ("git_fetch", "program"))
    assert not [child for child in children if alive(child)]


def descendants(parent: int) -> list[int]:
    found = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in found.splitlines()]
    known = [parent]
    for each in known:
        known += [pid for pid, of in pairs if of == each]
    return known[1:]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
