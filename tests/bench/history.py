"""What grows with every deployment, in fast motion: a day's writes, 72 s apart by the commits' clock, without runs.

Git, kustomize and the registry are real; the images have no layers. ``python -m tests.bench.history 1200``.
"""

import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tasks.core.errors import NotFound
from tasks.core.git import Remote
from tasks.core.gitops import promotion, rollback, status
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.writer import write
from tasks.core.models import Environment, ImageUpdate, Move
from tasks.core.registry import oci
from tasks.core.report.board.pages import Board
from tasks.core.report.links import Web
from tasks.core.report.overview import Overview
from tasks.core.settings import load
from tests.sandbox.gitops_files import APP
from tests.sandbox.registry import Registry, registry
from tests.sandbox.repositories import git, gitops_repository

APART = 72
"""Seconds between two deployments, at 50 an hour."""
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
SHARES = {"update of dev": 70, "promotion to staging": 20, "promotion to production": 7, "rollback of dev": 3}
EVERY = 100
"""Writes after which what has grown is looked at; medians are of as many."""


class Day:
    """Repository, registry and clock, and what the writes took.

    Args:
        folder: for all of it.
        images: where the images are.
    """

    def __init__(self, folder: Path, images: Registry) -> None:
        self.bare, self.images, self.folder = gitops_repository(folder / "gitops.git"), images, folder
        where = Remote(str(self.bare))
        self.repository = GitOps(where, "main", f"{APP}/overlays", folder / "work", render="auto")
        self.client = oci.Registry(images.host)
        self.took, self.commits = defaultdict[str, list[float]](list), 0
        self.now = BEGIN

    def seconds(self) -> float:
        """The time that commits get."""
        return self.now.timestamp()

    def deploy(self, kind: str, number: int) -> None:
        """Deploy in one of the ways; of what there is nothing to do for, nothing is written."""
        update, origin = self._update(number) if kind == "update of dev" else None, None
        begun = time.perf_counter()  # the images are the build's part
        if not update:
            try:
                move = self._move(kind, number)
                update, origin = move.update, move.origin
            except NotFound:  # nothing to promote, or to go back to, yet
                return
        changed = write(self.repository, update, self.images.host, lambda _: None, origin=origin).changed
        self.took[kind].append(time.perf_counter() - begun)
        self.commits += changed

    def _update(self, number: int) -> ImageUpdate:
        sha = hashlib.sha1(str(number).encode(), usedforsecurity=False).hexdigest()
        server, ui = (self._tagged(name, sha) for name in ("flowise-server", "flowise-ui"))
        return ImageUpdate.parse(
            environment="dev",
            tag=sha[:7],
            sha=sha,
            server_digest=server,
            ui_digest=ui,
            actor="Lan",
            workflow_run_id=f"run-{number}",
        )

    def _tagged(self, name: str, sha: str) -> str:
        digest, begun = self.images.push(name, f"inputs-{sha[:12]}", note=sha), time.perf_counter()
        for tag in (sha[:7], sha, "latest"):
            self.client.add_tag(name, digest, tag)
        self.took["three more tags of an image"].append(time.perf_counter() - begun)
        return digest

    def _move(self, kind: str, number: int) -> Move:
        run = f"run-{number}"
        if kind == "rollback of dev":
            return rollback.earlier(self.repository, "dev", rollback.Wanted(), actor="Lan", run=run)
        steps: dict[str, tuple[Environment, Environment]] = {"staging": ("dev", "staging")}
        steps["production"] = ("staging", "production")
        return promotion.running(self.repository, *steps[kind.rpartition(" ")[2]], actor="Lan", run=run)[0]

    def sizes(self) -> dict[str, float]:
        """What has grown, and what it takes to look at it."""
        seconds, view = _timed(lambda: status.read(self.repository, {"staging": "dev", "production": "staging"}, 200))
        board = Board(Overview(at=self.now, status=view), Web(load()))
        drawn, page = _timed(lambda: board.overview(90))
        listed, pages = _timed(lambda: board.deployments(""))
        looked, _ = _timed(lambda: self.client.digest("flowise-ui", "latest"))
        return {
            "commits": int(git(self.bare, "rev-list", "--count", "main")),
            "GitOps repository, MB": _megabytes(self.bare),
            "worker's git cache, MB": _megabytes(self.folder / "cache"),
            "left in the work folder": len(list((self.folder / "work").iterdir())),
            "registry's disk, MB": _megabytes(self.folder / "registry"),
            "tags of an image": len(self.images.tags("flowise-ui")),
            "a tag's digest, ms": looked * 1000,
            "status, 200 deployments each, ms": seconds * 1000,
            "board's first page, 90 days, ms": drawn * 1000,
            "board's first page, KB": len(page) / 1000,
            "board's list, ms": listed * 1000,
            "board's list, KB": len(pages) / 1000,
        }


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    answer = call()
    return time.perf_counter() - begun, answer


def _megabytes(folder: Path) -> float:
    return sum(each.lstat().st_blocks * 512 for each in folder.rglob("*")) / 1e6


def history(writes: int) -> Iterator[str]:
    """Make the tables of so many writes."""
    with tempfile.TemporaryDirectory(prefix="flowise-history-") as made, registry(Path(made) / "registry") as images:
        folder, random = Path(made), Random(0)
        with patch.dict(os.environ, XDG_CACHE_HOME=str(folder / "cache")):
            day, looks = Day(folder, images), list[dict[str, float]]()
            clock = SimpleNamespace(time=day.seconds)
            with patch("tasks.core.git.branch.time", clock):
                for number in range(writes):
                    day.deploy(random.choices([*SHARES], [*SHARES.values()])[0], number)
                    day.now += timedelta(seconds=APART)
                    if number + 1 in (EVERY, writes):
                        looks.append(day.sizes())
        yield from _tables(day, looks, writes)
        git(day.bare, "gc", "--quiet", "--prune=now")
        yield f"\nAfter `git gc` the repository has {_megabytes(day.bare):.1f} MB."
        assert day.commits == looks[-1]["commits"] - 3, "each change is one commit"


def _tables(day: Day, looks: list[dict[str, float]], writes: int) -> Iterator[str]:
    yield f"| ms, median | number | the first {EVERY // 4} | the last {EVERY // 4} |"
    yield "| --- | --- | --- | --- |"
    for kind, took in sorted(day.took.items()):
        first, last = (statistics.median(some) * 1000 for some in (took[: EVERY // 4], took[-EVERY // 4 :]))
        yield f"| {kind} | {len(took)} | {first:.0f} | {last:.0f} |"
    yield ""
    yield f"| | after {EVERY} deployments | after {writes} |"
    yield "| --- | --- | --- |"
    for what in looks[0]:
        yield f"| {what} | {' | '.join(f'{look[what]:,.5g}' for look in looks)} |"


if __name__ == "__main__":
    print("\n".join(history(int(sys.argv[1]) if sys.argv[1:] else 1200)))
