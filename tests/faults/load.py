"""What becomes of a dozen deliveries when a part fails among them: ``python -m tests.faults.load``, as root.

Two workers for each pool, two servers, PostgreSQL and Redis are real, and so are the kills: SIGKILL for the part and
everything that it has started, as if its machine lost power. A lost worker isn't replaced; the other one and the
automations of prefect.yaml have to do. Each run must succeed in the end, and land exactly once. Prints Markdown.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flows.recover import RECOVERING
from tests.bench.phases import AFTER, REAL, kind_of
from tests.bench.stand import UPDATES, Stand, stand
from tests.sandbox.cut import network
from tests.sandbox.processes import running
from tests.sandbox.repositories import commit, show
from tests.sandbox.until import until
from tests.sandbox.worker import PROJECT

POOLS = ("flowise-build", *UPDATES)
LONGEST = 600
"""Seconds for a fault's runs; one that is lost as it starts is noticed after 300 s, and taken for lost 45 s later."""
SLOW = "packages/ui/scripts/build.sh"
HOOK = "#!/bin/sh\nmkdir {flag} 2>/dev/null || exit 0\necho $$ > {flag}/pid\nsleep 20\n"
"""Holds up the first push, and tells which process that is."""

Strike = Callable[[Stand, str], None]
"""Does the harm; is told the name that its runs have."""


def _in_a_build(kill: Callable[[Stand, int], None]) -> Strike:
    def strike(stand: Stand, name: str) -> None:
        """Kill something while a step of the build runs."""
        bare = stand.here.source
        slow = show(bare, "main", SLOW).replace("set -eu\n", "set -eu\nsleep 12\n")
        commit(bare, "main", {SLOW: slow}, "chore: build slowly")
        run = stand.build(name)
        logs = {"logs": {"flow_run_id": {"any_": [run]}}}
        until(lambda: "ui | " in str(stand.ask("POST", "logs/filter", logs)), 120)
        kill(stand, int(stand.ask("GET", f"flow_runs/{run}")["infrastructure_pid"].rpartition(":")[2]))
        commit(bare, "main", {SLOW: slow.replace("sleep 12\n", "")}, "chore: build fast")

    return strike


def _killed_at(hook: str) -> Strike:
    def strike(stand: Stand, _: str) -> None:
        """Kill the worker that pushes first, while the repository's hook runs."""
        flag, file = stand.here.source.with_name(hook), stand.repositories["flowise-gitops"] / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(HOOK.format(flag=flag))
        file.chmod(0o755)
        until(lambda: (flag / "pid").exists() and (flag / "pid").read_text(), 120)
        _kill(stand, int((flag / "pid").read_text()))
        file.unlink()

    return strike


def _kill(stand: Stand, pid: int) -> None:
    stand.them.parts.kill(stand.them.parts.holder(pid))


def _restarted(part: str, seconds: float) -> Strike:
    def strike(stand: Stand, _: str) -> None:
        time.sleep(5)  # some runs have begun
        stand.them.parts.kill(part)
        time.sleep(seconds)
        stand.them.parts.start(part)

    strike.__doc__ = f"Kill {part}, and start it again {seconds:g} s later."
    return strike


def cut_off(stand: Stand, name: str) -> None:
    """Cut a worker off the servers for a minute, while its runs are at work; they go on and report when it's over."""
    parts, pool = stand.them.parts, "flowise-gitops"
    with ExitStack() as stack:
        net = stack.enter_context(network(int(stand.them.server.url.rpartition(":")[2])))
        until(lambda: all(run["state_type"] == "COMPLETED" for run in stand.runs()), 120)  # a stop would lose them
        for each in (f"{pool}-1", f"{pool}-2"):
            parts.stop(each)
        log = stand.them.server.home / "cut.log"
        command = net.command(sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--limit", "2")
        env = dict(stand.env) | {"PREFECT_API_URL": f"{net.url}/api"}
        ready = lambda: "started!" in log.read_text()  # noqa: E731
        stack.enter_context(running(command, log=log, ready=ready, env=env, folder=PROJECT))
        runs = [
            stand.submit(UPDATES[pool], REAL, {"environment": "dev", "tag": f"{name}-{number}"})
            for number in ("cut-1", "cut-2", "cut-3")
        ]
        until(lambda: [run for run in runs if stand.ask("GET", f"flow_runs/{run}")["state_type"] == "RUNNING"], 120)
        net.cut()
        time.sleep(60)
        net.mend()
        _wait(stand, runs, 0)
        for each in (f"{pool}-1", f"{pool}-2"):
            parts.start(each)


FAULTS: dict[str, tuple[Strike, int]] = {
    "a run's process is killed during a build": (_in_a_build(lambda _, pid: os.kill(pid, signal.SIGKILL)), 1),
    "a worker's machine is lost during a build": (_in_a_build(_kill), 1),
    "a worker's machine is lost during a push, before the branch has the commit": (_killed_at("pre-receive"), 0),
    "a worker's machine is lost during a push, after the branch has the commit": (_killed_at("post-receive"), 0),
    "a server is killed, back after 10 s": (_restarted("server-1", 10), 0),
    "PostgreSQL is killed, back after 5 s": (_restarted("postgres", 5), 0),
    "Redis is killed, back after 5 s": (_restarted("redis", 5), 0),
    "a worker is cut off for 60 s": (cut_off, 0),
}
"""What is done, and how many builds it asks for, each of which starts an update."""

HEAD = """
| fault | runs | lost | landed twice | started again | all done after | not as it must be |
| --- | --- | --- | --- | --- | --- | --- |"""


def row(stand: Stand, fault: str, name: str) -> str:
    """Ask for updates of all three repositories, do the harm, and tell what has become of them."""
    strike, builds = FAULTS[fault]
    before, begun = {run["id"] for run in stand.runs()}, time.monotonic()
    for number, deployment in enumerate(list(UPDATES.values()) * 2):
        stand.submit(deployment, REAL, {"environment": "staging", "tag": f"{name}-{number}"})
    strike(stand, name)
    runs = _wait(stand, before, builds)
    seconds = time.monotonic() - begun
    wrong = list(stand.wrong(runs))
    lost = [run for run in runs if run["state_type"] != "COMPLETED"]
    twice = [each for each in wrong if "landed" in each and not each.endswith("landed 0 times")]
    return (
        f"| {fault} | {len(runs)} | {len(lost)} | {len(twice)} | {_recoveries(stand, runs)} | {seconds:.0f} s "
        f"| {'; '.join(wrong) or 'nothing'} |"
    )


def _wait(stand: Stand, before: Any, builds: int) -> list[dict[str, Any]]:
    """Wait until all runs since ``before`` have succeeded, or for ``LONGEST``; one that crashed may still succeed."""
    deadline = time.monotonic() + LONGEST
    while True:
        runs = [run for run in stand.runs() if run["id"] not in before]
        updates = [run for run in runs if kind_of(run) == AFTER and "tag" in run["parameters"]]
        done = all(run["state_type"] == "COMPLETED" for run in runs) and len(updates) >= builds
        if done or time.monotonic() > deadline:
            return runs
        time.sleep(2)


def _recoveries(stand: Stand, runs: Sequence[dict[str, Any]]) -> int:
    states = (stand.ask("GET", f"flow_run_states/?flow_run_id={run['id']}") for run in runs)
    return sum(state["name"] == RECOVERING for each in states for state in each)


def main(chosen: Sequence[str]) -> int:
    """Print the table, of all faults or of those whose names contain a word; 0 if all runs landed once."""
    faults = [fault for fault in FAULTS if not chosen or any(word in fault for word in chosen)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(HEAD)
    bad = 0
    temporary = tempfile.TemporaryDirectory(prefix="flowise-faults-", ignore_cleanup_errors=True)
    with temporary as folder, stand(Path(folder)) as here:
        for number, fault in enumerate(faults):
            _add_missing(here)
            made = row(here, fault, f"f{number}")
            bad += not made.endswith("| nothing |")
            print(made, flush=True)
    return 1 if bad else 0


def _add_missing(stand: Stand) -> None:
    """Have two workers for each pool, whatever the fault before has left."""
    wanted = [(pool, f"{pool}-{number}") for pool in POOLS for number in (1, 2)]
    missing = [each for each in wanted if each[1] not in stand.them.parts]
    with ThreadPoolExecutor() as starting:
        list(starting.map(lambda each: stand.them.add_worker(stand.env, each[0], each[1], 2), missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
