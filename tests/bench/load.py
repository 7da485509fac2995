"""How many deliveries workers get done: ``python -m tests.bench.load``, which prints Markdown.

Runs are asked for all at once: updates that change nothing, real updates over three GitOps repositories, and builds,
each of which starts an update. Two workers for each pool get all of them, one worker a tenth (``--divide``).
PostgreSQL, Redis, two servers, an engine, a registry and git are real. Each run must succeed and land exactly once. On
few cores one worker keeps all of them busy, so what a second one brings is measured by updates that wait for an
endpoint, as real ones wait for a rollout.
"""

import argparse
import asyncio
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from tests.bench import stand as stands
from tests.bench.phases import AFTER, NOTHING, REAL, WAITING, Phase, by_kind, by_part, kind_of
from tests.bench.stand import UPDATES, Stand
from tests.bench.usage import cpu_seconds, leader_megabytes, megabytes
from tests.sandbox.replicas import SERVERS


@dataclass(frozen=True)
class Sizes:
    """How many runs of each kind, how many a worker takes at a time, and by how much the runs of one are divided."""

    nothing: int
    real: int
    builds: int
    waiting: int
    limit: int
    divide: int

    def part(self) -> "Sizes":
        """Return the part for one worker."""
        nothing, real, builds = (-(-each // self.divide) for each in (self.nothing, self.real, self.builds))
        return replace(self, nothing=nothing, real=real, builds=builds)


def mixed(stand: Stand, sizes: Sizes, name: str) -> int:
    """Ask for the day's runs, in the same random order each time; return how many there will be."""
    asked: list[Callable[[], object]] = [partial(stand.build, f"{name}-{number}") for number in range(sizes.builds)]
    for number, deployment in zip(range(sizes.nothing), cycle(UPDATES.values()), strict=False):
        parameters = {"environment": "staging", "tag": "same", "actor": f"{name}-{number}"}
        asked.append(partial(stand.submit, deployment, NOTHING, parameters))
    for number, deployment in zip(range(sizes.real), cycle(UPDATES.values()), strict=False):
        asked.append(partial(stand.submit, deployment, REAL, {"environment": "dev", "tag": f"{name}-{number}"}))
    Random(0).shuffle(asked)
    for ask in asked:
        ask()
    return len(asked) + sizes.builds


def phase(stand: Stand, workers: int, limit: int, pools: Sequence[str], ask: Callable[[], int]) -> Phase:
    """Start workers, ask for runs, and wait until they have ended."""
    before = {run["id"] for run in stand.runs()}
    stand.them.add_workers(stand.env, workers, pools, limit)
    names = [f"{pool}-{number + 1}" for pool in pools for number in range(workers)]
    parts = {"servers": SERVERS, "PostgreSQL": ["postgres"], "Redis": ["redis"], "workers and runs": names}
    pids = {part: [stand.them.parts.pid(each) for each in members] for part, members in parts.items()}
    used_before = {part: sum(map(cpu_seconds, group)) for part, group in pids.items()}
    begun = time.monotonic()
    runs = stand.ended(len(before) + ask())
    seconds = time.monotonic() - begun
    cpu = {part: sum(map(cpu_seconds, group)) - used_before[part] for part, group in pids.items()}
    memory = {"server": statistics.mean(map(megabytes, pids["servers"]))}
    memory["worker"] = statistics.mean(map(leader_megabytes, pids["workers and runs"]))
    for name in names:
        stand.them.parts.stop(name)
    return Phase(workers, seconds, [run for run in runs if run["id"] not in before], cpu, memory)


def database(stand: Stand, query: str) -> list[tuple[Any, ...]]:
    """Ask the database itself."""

    async def fetch() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(stand.them.database.replace("+asyncpg", ""))
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


SIZE = "select pg_database_size(current_database())"
TABLES = """select relname, pg_total_relation_size(relid) from pg_statio_user_tables order by 2 desc limit 5"""


def main() -> int:
    """Print the tables; the status is 1 if a run failed, is stuck, or landed twice or never."""
    options = argparse.ArgumentParser(description=__doc__)
    defaults = {"nothing": 200, "real": 60, "builds": 10, "waiting": 12, "limit": 1, "divide": 10}
    for name, number in defaults.items():
        options.add_argument(f"--{name}", type=int, default=number)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sizes = Sizes(**vars(options.parse_args()))
    with tempfile.TemporaryDirectory(prefix="flowise-load-", ignore_cleanup_errors=True) as folder:
        begun = time.monotonic()
        with stands.stand(Path(folder)) as stand:
            bad = measure(stand, sizes)
        print(f"\nThe whole took {(time.monotonic() - begun) / 60:.1f} minutes.")
    return 1 if bad else 0


def measure(stand: Stand, sizes: Sizes) -> list[str]:
    """Run all phases and print what they did; return what went wrong."""
    everything = ["flowise-build", *UPDATES]
    seed = phase(stand, 1, 2, list(UPDATES), partial(seeded, stand))
    before, first = database(stand, SIZE)[0][0], len(stand.runs())
    busy = [
        phase(stand, number, sizes.limit, everything, partial(mixed, stand, part, f"w{number}"))
        for number, part in ((1, sizes.part()), (2, sizes))
    ]
    grown, added = database(stand, SIZE)[0][0] - before, len(stand.runs()) - first
    idle = [phase(stand, number, 2, ["flowise-gitops"], partial(waiting, stand, sizes)) for number in (1, 2)]
    bad = list(stand.wrong([run for each in (seed, *busy, *idle) for run in each.runs]))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, load {os.getloadavg()[0]:.1f}; {sizes}\n")
    print("\n".join([*by_kind(busy), "", *by_part(busy, idle), "", *growth(stand, grown, added), ""]))
    landed = sum(1 for each in busy for run in each.runs if kind_of(run) in (REAL, AFTER))
    print(f"{sum(len(each.runs) for each in busy)} runs, {landed} of them updates that must land exactly once.")
    print("\n".join(["Not as it must be:", *bad[:20]]) if bad else "All succeeded, all landed once, no slot is taken.")
    return bad


def seeded(stand: Stand) -> int:
    """Write what later updates find there."""
    for deployment in UPDATES.values():
        stand.submit(deployment, REAL, {"environment": "staging", "tag": "same"})
    stand.submit(UPDATES["flowise-gitops"], REAL, {"environment": "production", "tag": "waiting"})
    return len(UPDATES) + 1


def waiting(stand: Stand, sizes: Sizes) -> int:
    """Ask for updates that change nothing, and wait for their endpoint."""
    for number in range(sizes.waiting):
        parameters = {"environment": "production", "tag": "waiting", "actor": f"waits-{number}"}
        stand.submit(UPDATES["flowise-gitops"], WAITING, parameters)
    return sizes.waiting


def growth(stand: Stand, grown: int, runs: int) -> Iterator[str]:
    """Make the table of what the database grows by."""
    yield f"The database grew by {grown / runs * 1000 / 1e6:.1f} MB for 1,000 runs. Its largest tables:"
    yield ""
    yield "| table | MB |"
    yield "| --- | --- |"
    yield from (f"| {name} | {size / 1e6:.1f} |" for name, size in database(stand, TABLES))


if __name__ == "__main__":
    sys.exit(main())
