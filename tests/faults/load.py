"""What becomes of a dozen deliveries when a part fails among them: ``python -m tests.faults.load``, as root.

Two workers for each pool, two servers, PostgreSQL and Redis are real, and so are the kills: SIGKILL for the part and
everything that it has started, as if its machine lost power. A lost worker isn't replaced; the other one and the
automations of prefect.yaml have to do. Each run must succeed in the end, and land exactly once. Prints Markdown, for
all faults or for those whose names contain one of the arguments.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flows.recover import RECOVERING
from tests.bench.phases import AFTER, REAL, kind_of
from tests.bench.stand import UPDATES, Stand, stand
from tests.faults.harm import FAULTS, LONGEST

POOLS = ("flowise-build", *UPDATES)

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


def _wait(stand: Stand, before: Collection[str], builds: int) -> list[dict[str, Any]]:
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
