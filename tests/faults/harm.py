"""The harm that ``tests.faults.load`` does among deliveries: parts are killed, held up and cut off."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.bench.phases import REAL
from tests.bench.stand import GITOPS_POOL, UPDATES, Stand
from tests.sandbox.cut import Network, network
from tests.sandbox.processes import running
from tests.sandbox.repositories import commit, show
from tests.sandbox.until import until
from tests.sandbox.worker import PROJECT

LONGEST = 600
"""Seconds for a fault's runs; one that is lost as it starts is noticed after 300 s, and taken for lost 45 s later."""
SCRIPT = "packages/ui/scripts/build.sh"
HOOK = """#!/bin/sh
mkdir {flag} 2>/dev/null || exit 0
echo $$ > {flag}/pid
until [ -e {flag}/go ]; do sleep 0.2; done
"""
"""Holds up the first push, and tells which process that is."""
LARGE = 150_000_000
"""Bytes of a layer that takes seconds to push; they can't be compressed."""

Strike = Callable[[Stand, str], None]
"""Does the harm; is told the name that its runs have."""


def killed_in_a_build(stand: Stand, name: str) -> None:
    """Kill a run's process while a step of its build runs; its worker sees it."""
    os.kill(_building(stand, name, "sleep 12"), signal.SIGKILL)


def lost_in_a_build(stand: Stand, name: str) -> None:
    """Kill a worker while a step of a build runs."""
    _lose(stand, _building(stand, name, "sleep 12"))


def lost_as_layers_are_pushed(stand: Stand, name: str) -> None:
    """Kill a worker while the registry has a part of a layer."""
    pid = _building(stand, name, f'head -c {LARGE} /dev/urandom >"$2/large"')
    until(lambda: _sent(stand) > LARGE // 10, 180)
    _lose(stand, pid)


def _building(stand: Stand, name: str, step: str) -> int:
    """Ask for a build that takes a step more, and return its process once it builds."""
    with _script(stand, step):
        run = stand.build(name)
        logs = {"logs": {"flow_run_id": {"any_": [run]}}}
        until(lambda: "ui | " in str(stand.ask("POST", "logs/filter", logs)), 120)
    return int(stand.ask("GET", f"flow_runs/{run}")["infrastructure_pid"].rpartition(":")[2])


def _sent(stand: Stand) -> int:
    """Return how many bytes the registry has of layers that aren't complete yet."""
    sent = 0
    for each in stand.here.source.with_name("registry").glob(
        "images/docker/registry/v2/repositories/*/_uploads/*/data"
    ):
        with suppress(FileNotFoundError):  # it is complete by now
            sent += each.stat().st_size
    return sent


@contextmanager
def _script(stand: Stand, step: str) -> Iterator[None]:
    """Have builds take a step more, until the block ends."""
    bare = stand.here.source
    before = show(bare, "main", SCRIPT)
    commit(bare, "main", {SCRIPT: f"{before}{step}\n"}, "chore: build slowly")
    try:
        yield
    finally:
        commit(bare, "main", {SCRIPT: before}, "chore: build fast")


def _lose(stand: Stand, pid: int) -> None:
    stand.them.parts.kill(stand.them.parts.holder(pid))


def lost_in_a_push(hook: str) -> Strike:
    """Kill the worker that pushes first, while this hook of the repository runs."""

    def strike(stand: Stand, name: str) -> None:
        with _held_up(stand, hook, name) as pushing:
            _lose(stand, pushing())

    return strike


@contextmanager
def _held_up(stand: Stand, hook: str, name: str) -> Iterator[Callable[[], int]]:
    """Hold up the first push in a hook of the repository, until the block ends; yield what returns its process."""
    flag, file = stand.here.source.with_name(f"{name}-{hook}"), stand.repositories[GITOPS_POOL] / "hooks" / hook
    file.parent.mkdir(exist_ok=True)
    file.write_text(HOOK.format(flag=flag))
    file.chmod(0o755)
    try:
        yield lambda: int(until(lambda: (flag / "pid").exists() and (flag / "pid").read_text(), 120))
    finally:
        file.unlink()
        (flag / "go").touch()


def lost_as(state: str) -> Strike:
    """Kill a pool's only worker at the moment that its run gets into a state; another one starts afterwards."""

    def strike(stand: Stand, name: str) -> None:
        parts, pool = stand.them.parts, "load-b"
        _wait_for_all(stand)  # a worker that is stopped takes its runs with it
        parts.stop(f"{pool}-2")
        run = _update(stand, pool, f"{name}-lost")
        until(lambda: stand.ask("GET", f"flow_runs/{run}")["state_type"] == state, 60)
        parts.kill(f"{pool}-1")
        time.sleep(5)  # an event on its way would have arrived
        beats = {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}
        assert not stand.ask("POST", "events/filter", {"filter": beats})["events"], "it was killed too late"
        parts.start(f"{pool}-2")

    return strike


def _update(stand: Stand, pool: str, tag: str) -> str:
    return stand.submit(UPDATES[pool], REAL, {"environment": "dev", "tag": tag})


def _wait_for_all(stand: Stand) -> None:
    until(lambda: all(run["state_type"] == "COMPLETED" for run in stand.runs()), LONGEST)


def _wait_for(stand: Stand, *runs: str) -> None:
    until(lambda: all(stand.ask("GET", f"flow_runs/{run}")["state_type"] == "COMPLETED" for run in runs), LONGEST)


def restarted(part: str, seconds: float) -> Strike:
    """Kill a part, and start it again some seconds later."""

    def strike(stand: Stand, _: str) -> None:
        time.sleep(5)  # some runs have begun
        stand.them.parts.kill(part)
        time.sleep(seconds)
        stand.them.parts.start(part)

    return strike


def cut_off(stand: Stand, name: str) -> None:
    """Cut a worker off the servers for a minute, while its runs are at work; they go on and report when it's over."""
    with _behind_a_network(stand) as net:
        runs = [_update(stand, GITOPS_POOL, f"{name}-cut-{number}") for number in range(3)]
        until(lambda: any(stand.ask("GET", f"flow_runs/{run}")["state_type"] == "RUNNING" for run in runs), 120)
        net.cut()
        _start_others(stand)
        time.sleep(60)
        net.mend()
        _wait_for(stand, *runs)


def cut_off_for_long(stand: Stand, name: str) -> None:
    """Cut a worker off in the middle of a push, until the run that was started again for it has done the work."""
    with _behind_a_network(stand) as net:
        with _held_up(stand, "pre-receive", name) as pushing:
            run = _update(stand, GITOPS_POOL, f"{name}-cut")
            first = pushing()
            net.cut()
            _start_others(stand)
            _wait_for(stand, run)
            os.kill(first, 0)  # both were at work: the first one's push still waits
        until(lambda: "Another writer pushed" in _log(stand).read_text(), 60)
        net.mend()
        until(lambda: not stand.them.parts.busy("cut"), 120)


@contextmanager
def _behind_a_network(stand: Stand) -> Iterator[Network]:
    """Have one worker alone for a pool, until others start, behind a network that can be cut."""
    parts = stand.them.parts
    with network(int(stand.them.server.url.rpartition(":")[2])) as net:
        _wait_for_all(stand)  # a worker that is stopped takes its runs with it
        for each in _others():
            parts.stop(each)
        command = ["-m", "prefect", "--no-prompt", "worker", "start", "--pool", GITOPS_POOL, "--limit", "2"]
        options: dict[str, Any] = {"log": _log(stand), "folder": PROJECT}
        options["env"] = dict(stand.env) | {"PREFECT_API_URL": f"{net.url}/api"}
        options["ready"] = lambda: "started!" in _log(stand).read_text()
        _log(stand).unlink(missing_ok=True)
        parts.start("cut", lambda: running(net.command(sys.executable, *command), **options))
        try:
            yield net
        finally:
            parts.stop("cut")


def _log(stand: Stand) -> Path:
    return stand.them.server.home / "cut.log"


def _others() -> list[str]:
    return [f"{GITOPS_POOL}-{number}" for number in (1, 2)]


def _start_others(stand: Stand) -> None:
    for each in _others():
        stand.them.parts.start(each)


FAULTS: dict[str, tuple[Strike, int]] = {
    "a run's process is killed during a build": (killed_in_a_build, 1),
    "a worker's machine is lost during a build": (lost_in_a_build, 1),
    "a worker's machine is lost while layers are pushed": (lost_as_layers_are_pushed, 1),
    "a worker's machine is lost during a push, before the branch has the commit": (lost_in_a_push("pre-receive"), 0),
    "a worker's machine is lost during a push, after the branch has the commit": (lost_in_a_push("post-receive"), 0),
    "a worker's machine is lost between taking a run and starting it": (lost_as("PENDING"), 0),
    "a worker's machine is lost before a run's first heartbeat": (lost_as("RUNNING"), 0),
    "a server is killed, back after 10 s": (restarted("server-1", 10), 0),
    "PostgreSQL is killed, back after 5 s": (restarted("postgres", 5), 0),
    "Redis is killed, back after 5 s": (restarted("redis", 5), 0),
    "a worker is cut off for 60 s": (cut_off, 0),
    "a worker is cut off in a push, until its run has been done by another one": (cut_off_for_long, 0),
}
"""What is done, and how many builds it asks for, each of which starts an update."""
