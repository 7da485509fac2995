"""What the rounds of ``tests.bench.load`` did, and the tables of it."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

NOTHING, REAL, BUILD, AFTER, WAITING = "update, nothing to change", "update", "build", "update after a build", "waiting"
WAIT = 6
"""Seconds that an endpoint takes to answer a run that waits."""


@dataclass(frozen=True)
class Phase:
    """What one round of runs did."""

    workers: int
    seconds: float
    runs: Sequence[dict[str, Any]]
    cpu: Mapping[str, float]
    memory: Mapping[str, float]

    @property
    def an_hour(self) -> float:
        """Runs an hour at this pace."""
        return len(self.runs) * 3600 / self.seconds

    def spent(self, kind: str, queued: bool) -> list[float]:
        """Seconds of each run of a kind, from its start, or from when it was asked for."""
        begun = "expected_start_time" if queued else "start_time"
        runs = [run for run in self.runs if kind_of(run) == kind and run["end_time"] and run[begun]]
        return [_moment(run["end_time"]) - _moment(run[begun]) for run in runs]


def kind_of(run: Mapping[str, Any]) -> str:
    """Tell a run's kind by its tags; what has none was started by a build's event."""
    return next((kind for kind in (NOTHING, REAL, BUILD, WAITING) if kind in run["tags"]), AFTER)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def by_kind(phases: Sequence[Phase]) -> Iterator[str]:
    """Make the table of times."""
    yield "| seconds | " + " | ".join(f"{_named(each)}: runs | p50 | p95 | queued, p50 | p95" for each in phases) + " |"
    yield "| --- " * (1 + 5 * len(phases)) + "|"
    for kind in (NOTHING, REAL, BUILD, AFTER):
        cells = list[str]()
        for each in phases:
            cells.append(str(len(each.spent(kind, False))))
            for queued in (False, True):
                cells += _percentiles(each.spent(kind, queued))
        yield f"| {kind} | {' | '.join(cells)} |"


def _percentiles(seconds: Sequence[float]) -> list[str]:
    if len(seconds) < 2:
        return [f"{seconds[0]:.1f}" if seconds else ""] * 2
    cut = statistics.quantiles(seconds, n=20, method="inclusive")
    return [f"{cut[9]:.1f}", f"{cut[18]:.1f}"]


def by_part(busy: Sequence[Phase], idle: Sequence[Phase]) -> Iterator[str]:
    """Make the table of throughput, CPU and memory."""
    yield "| | " + " | ".join(_named(each) for each in busy) + " | ratio |"
    yield "| --- " * (2 + len(busy)) + "|"
    yield _row("runs an hour, all at once", [each.an_hour for each in busy])
    yield _row(f"runs an hour, each waiting {WAIT} s, two at a time for each worker", [each.an_hour for each in idle])
    for part in busy[0].cpu:
        yield _row(f"CPU seconds for each run: {part}", [each.cpu[part] / len(each.runs) for each in busy], digits=2)
    cores = os.cpu_count() or 1
    yield _row("cores busy", [sum(each.cpu.values()) / each.seconds for each in busy], digits=2) + f" of {cores}"
    yield (
        _row("cores busy, waiting", [sum(each.cpu.values()) / each.seconds for each in idle], digits=2) + f" of {cores}"
    )
    for what in busy[0].memory:
        yield _row(f"memory of a {what} at the end, MB", [each.memory[what] for each in busy])


def _named(each: Phase) -> str:
    return f"{each.workers} worker{'s' * (each.workers > 1)}"


def _row(name: str, values: Sequence[float], digits: int = 0) -> str:
    ratio = values[1] / values[0] if values[0] else 0
    return f"| {name} | {' | '.join(f'{value:,.{digits}f}' for value in values)} | {ratio:.2f} |"
