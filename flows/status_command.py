"""``flowise-status``: what is deployed where, in a terminal."""

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.overview import overview
from tasks.core.errors import DeliveryError
from tasks.core.report.overview import Overview, row
from tasks.core.settings import load
from tasks.core.text import plain
from tasks.read_status import status_now


def main() -> int:
    """Run the command; 0 if the GitOps repository answered."""
    options = argparse.ArgumentParser(prog="flowise-status", description="What is deployed where.")
    options.add_argument("--json", action="store_true", help="everything that is known, for programs")
    options.add_argument("--shown", type=int, default=10, help="deployments of each environment with --json")
    chosen, console = options.parse_args(), Console()
    try:
        load().require("gitops_repo")
        view = overview(status_now(max(1, chosen.shown)))
    except DeliveryError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return 1
    if chosen.json:
        print(view.model_dump_json(indent=2))
    else:
        console.print(table(view))
    return 0


def table(view: Overview) -> Table:
    """Return the environments as a table."""
    lines = [row(view, each) for each in view.status.environments]
    columns = [name for name in (lines[0] if lines else ()) if any(line[name] for line in lines)]
    made = Table(*columns, title=f"GitOps commit {view.status.commit[:7]}, {view.at:%Y-%m-%d %H:%M} UTC")
    for line in lines:
        made.add_row(*(Text(plain(line[name])) for name in columns))
    return made
