"""What a delivery costs, from the call to the pushed GitOps commit, in one run: ``make bench``.

Every side is a whole process, in turn on one engine, each with a registry and a GitOps repository of its own, and is
checked afterwards: the overlay names what the registry has. The first turn warms the machine and is left out.

cold          a new commit on an engine without a layer (pruned before each)
again         the same commit once more
docs only     a new commit that changes nothing the images are built from
next commit   a new commit on the engine as the one before left it
stages        a server of five stages on an engine without a layer
other engine  the next commit on an engine without a layer, where the registry has those of another engine, or not
2 x 300 MB    the same with images of that size, and 2 x 1000 MB: ``--large 300 1000`` and nothing else
"""

import argparse
import os
import platform
import signal
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import docker
from rich.console import Console
from rich.table import Table

from tests.bench import monorepo
from tests.bench.profile import profile
from tests.bench.sides import (
    CHARTPRESS,
    EMPTY,
    OURS,
    SCRIPT,
    WITH_CHARTPRESS,
    Side,
    docker_command,
    floor,
    prune,
    timed,
)
from tests.sandbox.engine import engine
from tests.sandbox.prefect_server import prefect_server
from tests.sandbox.registry import registry
from tests.sandbox.repositories import gitops_repository
from tests.sandbox.stage import Stage

Figures = dict[tuple[str, str], list[float]]

FLOW, BASH, OTHER, FLOOR, NOTHING = "deploy_to_k8s", "script", "chartpress", "BuildKit alone", "empty flow"
WITHOUT = "nothing in the registry"


class Bench:
    """The parts, the sides and their figures.

    Args:
        folder: for everything.
        parts: ends what is started.
    """

    def __init__(self, folder: Path, parts: ExitStack) -> None:
        self.folder, self.figures = folder, Figures()
        # A name that only an engine of our own knows: the user's is not to be pruned.
        self.docker_host = parts.enter_context(engine(folder / "engine", hosts=["bench.invalid"]))
        self.server = parts.enter_context(prefect_server(folder / "prefect"))
        self.parts, self.tool = parts, docker_command(folder)
        self.source = monorepo.monorepo(folder / "source.git")
        self.stages = monorepo.stages(folder / "stages.git")
        self.layers = monorepo.layers(folder / "layers.git")
        self.sides = [self._side(FLOW, OURS), self._side(BASH, ["bash", "-c", SCRIPT])]
        if CHARTPRESS.exists():
            self.sides.append(self._side(OTHER, ["bash", "-c", WITH_CHARTPRESS]))

    def turn(self, number: int) -> None:
        """Every side once, in an order that changes from turn to turn."""
        shift = -number % len(self.sides)
        for side in self.sides[shift:] + self.sides[:shift]:
            note = f"{side.name} {number}"
            prune(side.environment())
            monorepo.change(self.source, note)
            self._measure("cold", side)
            self._measure("again", side)
            monorepo.change_docs(self.source, note)
            self._measure("docs only", side)
            monorepo.change(self.source, f"{note}, next")
            self._measure("next commit", side)
        self._rest(number)

    def _rest(self, number: int) -> None:
        first = self.sides[0]
        prune(first.environment())
        monorepo.change(self.source, f"floor {number}")
        self._note("cold", FLOOR, floor(self.docker_host, self.source, self.folder / "floor"))
        monorepo.change(self.source, f"floor {number}, next")
        self._note("next commit", FLOOR, floor(self.docker_host, self.source, self.folder / "floor"))
        self._note("again", NOTHING, timed(EMPTY, first.environment(), self.folder / "log"))

    def turn_stages(self, number: int) -> None:
        """The five stages, on every side."""
        for side in self.sides:
            self._measure_anew("stages", side, self.stages, number)

    def turn_classic(self, number: int) -> None:
        """What begins without a layer, by the docker command's older builder: its own choice before Docker 23."""
        for side in self.sides[1:]:
            classic = replace(side, name=f"{side.name}, classic builder", extra={**side.extra, "DOCKER_BUILDKIT": "0"})
            self._measure_anew("cold", classic, self.source, number)
            self._measure_anew("stages", classic, self.stages, number)

    def turn_layers(self, number: int) -> None:
        """Two commits, each on an engine without a layer: the second one finds those that the first one left."""
        ours = self.sides[0]
        for name in (WITHOUT, FLOW):
            self._measure_anew("other engine", replace(ours, name=name), self.layers, number)

    def turn_large(self, megabytes: int, number: int) -> None:
        """Images of a size, on the sides that know BuildKit's cache: cold, the next commit, and on another engine."""
        size, path = f"2 x {megabytes} MB", self.folder / f"large-{megabytes}.git"
        source = path if path.exists() else monorepo.large(path, megabytes)
        for side in self.sides[:2]:
            here = replace(side, stage=replace(side.stage, source=source))
            self._measure_anew(f"{size}, cold", side, source, number)
            monorepo.change(source, f"{side.name} {number}, next")
            self._measure(f"{size}, next commit", here)
            self._measure_anew(f"{size}, other engine", side, source, number + 1000)

    def profile(self, console: Console) -> None:
        """Where a cold run's time goes."""
        side = self.sides[0]
        for title in ("cold", "again"):
            if title == "cold":
                prune(side.environment())
                monorepo.change(self.source, f"profile {datetime.now(UTC)}")
            profile(title, side, self.folder / "work", console)

    def _side(self, name: str, command: list[str]) -> Side:
        images = self.parts.enter_context(registry(self.folder / name / "registry"))
        gitops = gitops_repository(self.folder / name / "gitops.git")
        extra = self.tool | {"CHARTPRESS": str(CHARTPRESS)}
        return Side(name, command, Stage(self.docker_host, images, self.source, gitops, self.server), extra)

    def _measure_anew(self, case: str, side: Side, source: Path, number: int) -> None:
        prune(side.environment())
        monorepo.change(source, f"{side.name} {number}")
        self._measure(case, replace(side, stage=replace(side.stage, source=source)))

    def _measure(self, case: str, side: Side) -> None:
        self._note(case, side.name, side.run(self.folder / "work"))

    def _note(self, case: str, name: str, seconds: float) -> None:
        print(f"{case}, {name}: {seconds:.2f} s", file=sys.stderr)
        self.figures.setdefault((case, name), []).append(seconds)


def table(figures: Figures) -> Table:
    """Medians, and how many times ours each takes."""
    shown = Table("", "side", "seconds", "least to most", "ratio to ours", title="From the call to the GitOps commit")
    medians = {key: statistics.median(seconds[1:]) for key, seconds in figures.items()}
    cases = list(dict.fromkeys(case for case, _ in figures))
    for case in cases:
        for name in (each for known, each in figures if known == case):
            kept, ours = figures[case, name][1:], medians[case, FLOW]
            spread = f"{min(kept):.2f} to {max(kept):.2f}"
            shown.add_row(case, name, f"{medians[case, name]:.2f}", spread, f"{medians[case, name] / ours:.2f}")
        shown.add_section()
    if ("again", FLOW) not in figures:
        return shown
    more = [ours - none for ours, none in zip(figures["again", FLOW], figures["again", NOTHING], strict=True)][1:]
    shown.caption = f"The same commit again costs {statistics.median(more):.2f} s more than an empty flow."
    return shown


def describe(bench: Bench) -> str:
    """The machine, and what runs on it."""
    version = docker.DockerClient(base_url=bench.docker_host).version()["Version"]
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, Docker Engine {version}"
    )


def main() -> None:
    """Print the table, or the profile."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="turns that count, after the first")
    options.add_argument("--large", type=int, nargs="+", default=[], help="megabytes of images, instead of the rest")
    options.add_argument("--profile", action="store_true", help="only show where the time of our runs goes")
    asked, console = options.parse_args(), Console(width=110)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the parts and the folder go, too
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, ExitStack() as parts:
        bench = Bench(Path(folder), parts)
        console.print(describe(bench))
        if asked.profile:
            bench.profile(console)
            return
        for number in range(asked.rounds + 1):
            for megabytes in asked.large:
                bench.turn_large(megabytes, number)
            if asked.large:
                continue
            bench.turn(number)
            bench.turn_stages(number)
            bench.turn_classic(number)
            bench.turn_layers(number)
        console.print(table(bench.figures))
        if not CHARTPRESS.exists():
            console.print("chartpress is not installed: make bench does it.")


if __name__ == "__main__":
    main()
