"""A day of 50 deployments an hour, without the pauses between them: ``python -m tests.bench.day``.

Updates that change nothing, real ones, builds, promotions, rollbacks, updates of production that wait for an answer,
and some that must fail, in tenths: after each tenth everything has ended, and what may have grown is measured. Two
workers for each pool; PostgreSQL, Redis, two servers, an engine, a registry and git are real. ``--runs 200`` makes it a
part of the day. ``tests.bench.history`` shows in minutes what 1,200 writes do to git and the registry.
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import docker

from tasks.core.gitops.commit_message import parse
from tests.bench.load import SIZE, database, seeded
from tests.bench.phases import BUILD, NOTHING, REAL
from tests.bench.stand import GITOPS_POOL, LONGEST, UPDATES, Stand, stand
from tests.bench.usage import leader_megabytes, megabytes
from tests.sandbox.replicas import SERVERS
from tests.sandbox.repositories import log

PROMOTION, ROLLBACK, APPROVED, FAILING = "promotion", "rollback", "with approval", "must fail"
SHARES = {NOTHING: 35, REAL: 40, BUILD: 3, PROMOTION: 10, APPROVED: 5, FAILING: 5, ROLLBACK: 2}
"""Of a hundred deployments."""
MISSING = f"sha256:{'0' * 64}"
READING = timedelta(seconds=15)
ANSWER = {"decision": "Approve", "approver": "Lan", "note": ""}
CACHE, LEFT = "cache/flowise-delivery", ("tmp", "cache/flowise-delivery/work")
"""Where runs keep git's objects, and where nothing may be left."""
POOLS = ("flowise-build", *UPDATES)


def ask(stand: Stand, kind: str, number: int) -> None:
    """Ask for one deployment; the three GitOps repositories take turns in what all of them can do."""
    deployment = list(UPDATES.values())[number % len(UPDATES)]
    tag = f"day-{number}"
    if kind == NOTHING:
        others = [name for each, name in UPDATES.items() if each != GITOPS_POOL]  # promotions change that one's staging
        parameters = {"environment": "staging", "tag": "same", "actor": tag}
        stand.submit(others[number % len(others)], kind, parameters)
    elif kind == REAL:
        stand.submit(deployment, kind, {"environment": "dev", "tag": tag})
    elif kind == BUILD:
        stand.build(tag)
    elif kind == APPROVED:
        stand.submit(UPDATES[GITOPS_POOL], kind, {"environment": "production", "tag": tag})
    elif kind == FAILING:
        digests = dict.fromkeys(("server_digest", "ui_digest"), MISSING)
        stand.submit(deployment, kind, {"environment": "dev", "tag": tag, **digests})
    else:
        where = {PROMOTION: ("promote", "staging"), ROLLBACK: ("rollback", "dev")}[kind]
        stand.submit(where[0], kind, {"environment": where[1], "actor": tag})


def answer(stand: Stand) -> None:
    """Approve what has waited for an operator as long as it takes to read the question.

    A worker with a limit ends with an error if it gets a run again whose process hasn't ended yet (Prefect 3.8).
    """
    waiting = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
    for run in stand.ask("POST", "flow_runs/filter", waiting):
        if datetime.now(UTC) - datetime.fromisoformat(run["state"]["timestamp"]) < READING:
            continue
        stand.ask("POST", f"flow_runs/{run['id']}/resume", {"run_input": ANSWER})


def all_ended(stand: Stand, wanted: int) -> None:
    """Answer questions until so many runs have ended, and nothing is under way."""
    under_way = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING", "PAUSED"]}}}}
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        answer(stand)
        ended = stand.ask("POST", "flow_runs/count", {}) >= wanted
        if ended and not stand.ask("POST", "flow_runs/count", under_way):
            return
        time.sleep(1)


def measured(stand: Stand, folder: Path) -> dict[str, float]:
    """Return what may have grown."""
    parts = stand.them.parts
    names = [f"{pool}-{number}" for pool in POOLS for number in (1, 2)]
    with closing(docker.APIClient(base_url=stand.here.docker_host, version="auto")) as engine:
        used = engine.df()
    kept = sum(each["Size"] for each in used["BuildCache"] or () if not each["Shared"])
    return {
        "a server's memory, MB": statistics.mean(megabytes(parts.pid(each)) for each in SERVERS),
        "a worker's memory, MB": statistics.mean(leader_megabytes(parts.pid(each)) for each in names),
        "Redis's memory, MB": megabytes(parts.pid("redis")),
        "database, MB": database(stand, SIZE)[0][0] / 1e6,
        "files left in temporary and work folders": sum(len(list((folder / each).rglob("*"))) for each in LEFT),
        "the runs' git cache, MB": sum(each.stat().st_size for each in (folder / CACHE).rglob("*")) / 1e6,
        "GitOps commits": sum(len(log(each)) for each in stand.repositories.values()),
        "engine's images and build cache, MB": (used["LayersSize"] + kept) / 1e6,
    }


def wrong(stand: Stand, runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what isn't as it must be."""
    kinds = {run["id"]: next((kind for kind in SHARES if kind in run["tags"]), "") for run in runs}
    yield from stand.wrong([run for run in runs if kinds[run["id"]] != FAILING])
    for run in runs:
        if kinds[run["id"]] == FAILING and run["state_name"] != "Failed":
            yield f"{run['name']}: {run['state_name']}, and it must fail"
    told = (parse(f"{each['subject']}\n\n{each['body']}") for each in _commits(stand))
    landed = Counter(each.get("run", "") for each in told if each)
    most = {NOTHING: 0, FAILING: 0}
    for run, kind in kinds.items():
        if landed[run] > most.get(kind, 1):
            yield f"{kind} {run} landed {landed[run]} times"


def _commits(stand: Stand) -> Iterator[dict[str, str]]:
    for each in stand.repositories.values():
        yield from log(each)


def day(stand: Stand, folder: Path, runs: int) -> list[str]:
    """Go through a day, print what grew, and return what went wrong."""
    random, looks = Random(0), list[dict[str, float]]()
    kinds = random.choices([*SHARES], [*SHARES.values()], k=runs)
    stand.them.add_workers(stand.env, 2, POOLS, 1)
    all_ended(stand, seeded(stand))
    before, begun = len(stand.runs()), time.monotonic()
    for tenth in range(10):
        looks.append(measured(stand, folder))
        part = range(tenth * runs // 10, (tenth + 1) * runs // 10)
        for number in part:
            ask(stand, kinds[number], number)
        all_ended(stand, before + part.stop + kinds[: part.stop].count(BUILD))
    looks.append(measured(stand, folder))
    took = time.monotonic() - begun
    print(f"{runs} deployments, {len(stand.runs()) - before} runs, in {took / 60:.0f} minutes: ", end="")
    print(", ".join(f"{number} {kind}" for kind, number in Counter(kinds).most_common()) + "\n")
    shown = (0, 2, 5, 8, 10)
    print(f"| after | {' | '.join(str(tenth * runs // 10) for tenth in shown)} |\n| --- {'| --- ' * len(shown)}|")
    for what in looks[0]:
        print(f"| {what} | {' | '.join(f'{looks[tenth][what]:,.0f}' for tenth in shown)} |")
    return list(wrong(stand, stand.runs()))


def main() -> int:
    """Print the tables; the status is 1 if a run failed, is stuck, or landed twice or never."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=1200)
    runs = options.parse_args().runs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="flowise-day-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        (folder / "tmp").mkdir()
        ours = {"TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
        ours |= {"APPROVAL_REQUIRED": "production", "PROD_ENDPOINT": ""}
        with stand(folder, ours=ours) as here:
            bad = day(here, folder, runs)
    print("\n".join(["", "Not as it must be:", *bad[:20]]) if bad else "\nAll ended as they must, all landed once.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
