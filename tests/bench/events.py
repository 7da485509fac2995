"""How long it takes from an event to the first line of the flow it starts: ``python -m tests.bench.events``.

The event is posted as the first flow does it. The baseline is an empty flow's process, which no way of starting one
can be faster than.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table

from tasks.core.models import EVENT
from tests.sandbox.prefect_server import PrefectServer, prefect_server
from tests.sandbox.processes import running
from tests.sandbox.repositories import gitops_repository

PROJECT = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect", "--no-prompt"]
ROUNDS = 7
EMPTY = "from prefect import flow\n@flow\ndef empty() -> int:\n    return 1\nempty()"


def main() -> None:
    """Print the table."""
    table = Table(
        "", "median", "fastest", "slowest", title=f"Seconds from the event to the flow's first line, {ROUNDS}x"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gitops = gitops_repository(folder / "gitops.git")
        with prefect_server(folder / "prefect") as server:
            env = _environment(server, gitops)
            for command in ([sys.executable, "-m", "flows.setup"], [*PREFECT, "deploy", "--all"]):
                subprocess.run(command, cwd=PROJECT, env=env, check=True, stdout=subprocess.DEVNULL)
            with _worker(server, env):
                _row(table, "a worker, as in the README", lambda turn: _event(server, turn))
            _row(table, "an empty flow's whole process", lambda turn: _empty(env))
    Console().print(table)


def _environment(server: PrefectServer, gitops: Path) -> dict[str, str]:
    ours = {"GITOPS_REPO": str(gitops), "ECR_REGISTRY": "registry.example.com", "APPROVAL_REQUIRED": ""}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # every start would compile everything again
    # A worker that starts elsewhere does not read this project's pyproject.toml.
    return kept | server.environment() | ours | {"PREFECT_WORKER_QUERY_SECONDS": "1"}


@contextmanager
def _worker(server: PrefectServer, env: dict[str, str]) -> Iterator[None]:
    log = server.home / "worker.log"
    command = [*PREFECT, "worker", "start", "--pool", "flowise"]
    with running(command, log=log, ready=lambda: "started!" in log.read_text(), env=env):
        yield


def _row(table: Table, name: str, once: Callable[[int], float]) -> None:
    took = [once(turn) for turn in range(ROUNDS + 1)][1:]  # the first turn warms the disk cache
    table.add_row(name, *(f"{each(took):.2f}" for each in (statistics.median, min, max)))


def _event(server: PrefectServer, turn: int) -> float:
    payload = {"environment": "dev", "tag": f"v{turn}", "workflow_run_id": str(turn)}
    payload |= dict.fromkeys(("sha", "server_digest", "ui_digest", "actor"), "")
    posted = datetime.now(UTC)
    resource = {"prefect.resource.id": "flowise.image.dev"}
    event = {
        "id": str(uuid4()),
        "occurred": posted.isoformat(),
        "event": EVENT,
        "resource": resource,
        "payload": payload,
    }
    httpx.post(f"{server.api_url}/events", json=[event | {"payload": payload}], trust_env=False).raise_for_status()
    run = _ended(server, f"dev v{turn}")
    assert run["state_type"] == "COMPLETED", run
    return (datetime.fromisoformat(run["start_time"].replace("Z", "+00:00")) - posted).total_seconds()


def _ended(server: PrefectServer, name: str) -> dict[str, Any]:
    query = {"flow_runs": {"name": {"any_": [name]}}}
    until = time.monotonic() + 120
    while time.monotonic() < until:
        runs = httpx.post(f"{server.api_url}/flow_runs/filter", json=query, trust_env=False).json()
        if runs and runs[0]["end_time"]:
            return dict(runs[0])
        time.sleep(0.2)
    raise AssertionError(f"{name} did not end")


def _empty(env: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", EMPTY], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
