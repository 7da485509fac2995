"""How long it takes from an event to the first line of the flow it starts: ``python -m tests.bench.events``.

The event is posted as the first flow does it; the first line is the one Prefect writes into the run's log as it calls
the flow. The baseline is an empty flow's process, which no way of starting one can be faster than.
"""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table

from tasks.core.names import Names
from tests.sandbox.postgres import postgres
from tests.sandbox.prefect_server import PrefectServer, prefect_server
from tests.sandbox.repositories import gitops_repository
from tests.sandbox.worker import PROJECT, worker

ROUNDS = 7
URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
ONE_CONNECTION = ":memory:.db"
"""A file, whose name makes Prefect's server open it once only, as it does for a database in memory."""
EMPTY = "from prefect import flow\n@flow\ndef empty() -> int:\n    return 1\nempty()"


def main() -> None:
    """Print the machine, and the table; all sides are measured in turns."""
    console, title = Console(), f"Seconds from the event to the flow's first line, {ROUNDS}x"
    table = Table("", "median", "fastest", "slowest", "ratio", title=title)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    with ExitStack() as parts:
        folder = parts.enter_context(tempfile.TemporaryDirectory())
        urls = {
            "server on PostgreSQL, a worker": parts.enter_context(postgres()),
            "the same, server on SQLite": "",
            "the same, server on SQLite with one connection": f"sqlite+aiosqlite:///{folder}/{ONE_CONNECTION}",
        }
        sides: dict[str, Callable[[int], float]] = {}
        for name, url in urls.items():
            server, env = parts.enter_context(_installed({URL: url} if url else {}))
            sides[name] = partial(_event, server)
        sides["an empty flow's whole process"] = lambda _: _empty(env)
        # The first turn warms the disk cache.
        turns = [[once(turn) for once in sides.values()] for turn in range(ROUNDS + 1)][1:]
    medians = [statistics.median(took) for took in zip(*turns, strict=True)]
    for name, took, median in zip(sides, zip(*turns, strict=True), medians, strict=True):
        table.add_row(name, *(f"{each:.2f}" for each in (median, min(took), max(took), median / medians[0])))
    console.print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, load {os.getloadavg()[0]:.1f}")
    console.print(table)


@contextmanager
def _installed(settings: dict[str, str]) -> Iterator[tuple[PrefectServer, dict[str, str]]]:
    """A server with the deployments of prefect.yaml, and a worker that takes their runs."""
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        server = parts.enter_context(prefect_server(folder / "prefect", settings=settings))
        env = _environment(server, gitops_repository(folder / "gitops.git"))
        for command in (["flows.setup"], ["prefect", "--no-prompt", "deploy", "--all"]):
            subprocess.run(
                [sys.executable, "-m", *command], cwd=PROJECT, env=env, check=True, stdout=subprocess.DEVNULL
            )
        parts.enter_context(worker(env, server.home / "worker.log", "flowise-gitops"))
        yield server, env


def _environment(server: PrefectServer, gitops: Path) -> dict[str, str]:
    ours = {"GITOPS_REPO": str(gitops), "ECR_REGISTRY": "registry.example.com", "APPROVAL_REQUIRED": "none"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # every start would compile everything again
    return kept | server.environment() | ours


def _event(server: PrefectServer, turn: int) -> float:
    payload = {"environment": "dev", "tag": f"v{turn}", "workflow_run_id": str(turn)}
    payload |= dict.fromkeys(("sha", "server_digest", "ui_digest", "actor"), "")
    posted = datetime.now(UTC)
    event = {
        "id": str(uuid4()),
        "occurred": posted.isoformat(),
        "event": Names().event,
        "resource": {"prefect.resource.id": "flowise.image.dev"},
        "payload": payload,
    }
    _ask(server, "events", [event])
    run = _until(lambda: _ended(server, f"dev v{turn}"))
    assert run["state_type"] == "COMPLETED", run
    return (_until(lambda: _first_line(server, run["id"])) - posted).total_seconds()


def _ended(server: PrefectServer, name: str) -> dict[str, Any] | None:
    runs = _ask(server, "flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
    return runs[0] if runs and runs[0]["end_time"] else None


def _first_line(server: PrefectServer, run: str) -> datetime | None:
    lines = _ask(server, "logs/filter", {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"})
    begun = [each["timestamp"] for each in lines if each["message"].startswith("Beginning flow run")]
    return datetime.fromisoformat(begun[0]) if begun else None


def _ask(server: PrefectServer, path: str, body: object) -> Any:
    answer = httpx.post(f"{server.api_url}/{path}", json=body, trust_env=False).raise_for_status()
    return answer.json() if answer.content else None


def _until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while (what := found()) is None:
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)
    return what


def _empty(env: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", EMPTY], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
