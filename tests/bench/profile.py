"""Where the time of one run of ours goes, as Prefect recorded it: its tasks and its log, from the process's start."""

from datetime import UTC, datetime
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from tests.bench.sides import Side


def profile(title: str, side: Side, work: Path, console: Console) -> None:
    """Run a side that is a flow once, and print its time line."""
    began = datetime.now(UTC)
    seconds = side.run(work)
    shown = Table("at", "took", "what", title=f"{title}: {seconds:.2f} s")
    for at, took, what in sorted(_events(side.stage.server.api_url, began)):
        shown.add_row(f"{at:.2f}", "" if took is None else f"{took:.2f}", what)
    shown.add_row(f"{seconds:.2f}", "", "the process has ended")
    console.print(shown)


def _events(api: str, began: datetime) -> list[tuple[float, float | None, str]]:
    flows, tasks = (_ask(api, f"{kind}_runs/filter", {}) for kind in ("flow", "task"))
    runs = [(each["start_time"], each["total_run_time"], each["name"]) for each in flows + tasks if each["start_time"]]
    newest = {"limit": 200, "sort": "TIMESTAMP_DESC"}
    lines = [(each["timestamp"], None, each["message"][:90]) for each in _ask(api, "logs/filter", newest)]
    placed = [((datetime.fromisoformat(at) - began).total_seconds(), took, what) for at, took, what in runs + lines]
    return [event for event in placed if event[0] >= 0]


def _ask(api: str, path: str, body: dict) -> list[dict]:
    return httpx.post(f"{api}/{path}", json=body, trust_env=False).raise_for_status().json()
