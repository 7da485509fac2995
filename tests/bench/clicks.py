"""How many clicks and seconds an operator's tasks take, with a real browser: ``python -m tests.bench.clicks``.

Each task begins at an address that people have: the board's, Prefect's, or that of a notification's link. A click is a
click or the Enter key; what is typed doesn't count. Seconds are the browser's until the answer shows, without reading.
"Before" is the same task with Prefect's own pages alone: without the board, the artifact ``status`` and links to a run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from tasks.core.report.overview import now
from tests.sandbox.cluster import board
from tests.sandbox.postgres import postgres
from tests.sandbox.prefect_server import PrefectServer, prefect_server
from tests.sandbox.repositories import gitops_repository, source_repository
from tests.sandbox.until import until
from tests.sandbox.weeks import three_weeks
from tests.sandbox.worker import PROJECT, worker

BOARD_LOOKS = 16
"""Seconds after which the board looks again."""

PATIENCE = 60_000
"""Milliseconds until something shows."""


@dataclass
class Place:
    """Where the tasks are done: a server with three weeks of history, the board, and a browser's page."""

    server: PrefectServer
    board: str
    page: Page
    sha: str
    clicks: int = 0

    def at(self, url: str) -> Page:
        """Open an address that the person has."""
        self.page.goto(url)
        return self.page

    def ui(self, path: str = "/dashboard") -> Page:
        """Open Prefect's newer UI."""
        return self.at(f"{self.server.ui_url}/v2{path}")

    def click(self, what: Locator) -> None:
        """Click, and count it."""
        what.click()
        self.clicks += 1

    def link(self, name: str) -> None:
        """Click the first link of this name."""
        self.click(self.page.get_by_role("link", name=name, exact=True).first)

    def button(self, name: str) -> None:
        """Click the first button of this name."""
        self.click(self.page.get_by_role("button", name=name, exact=True).first)

    def item(self, name: str) -> None:
        """Click an item of the open menu."""
        self.click(self.page.get_by_role("menuitem", name=name, exact=True))

    def sees(self, text: str) -> None:
        """Wait until a text shows."""
        self.page.get_by_role("main").get_by_text(text).first.wait_for()

    def starts(self, deployment: str, how: str) -> None:
        """Go from the UI's first page to a deployment's Run menu, and choose from it."""
        self.ui()
        self.link("Deployments")
        self.link(deployment)
        self.button("Run")
        self.item(how)

    def waiting(self, tag: str) -> str:
        """Have a run for production wait for an operator; return its id."""
        run = self.run("update-flowise-deployment", environment="production", tag=tag)
        until(lambda: self.state(run) == "Suspended", 120)
        return run

    def run(self, deployment: str, **parameters: Any) -> str:
        """Start a run as somebody else did."""
        api = self.server.api_url
        found = httpx.get(f"{api}/deployments/name/{deployment}/{deployment}", trust_env=False).json()
        made = httpx.post(
            f"{api}/deployments/{found['id']}/create_flow_run", json={"parameters": parameters}, trust_env=False
        )
        return str(made.raise_for_status().json()["id"])

    def state(self, run: str) -> str:
        """Return the name of a run's state."""
        return str(httpx.get(f"{self.server.api_url}/flow_runs/{run}", trust_env=False).json()["state"]["name"])


def what_is_where(here: Place) -> None:
    here.at(here.board)
    here.sees("Newest deployments")


def what_is_where_before(here: Place) -> None:
    here.starts("status", "Quick run")
    here.button("View run")
    here.sees("Completed")
    here.click(here.page.get_by_role("tab", name="Artifacts"))
    here.click(here.page.get_by_role("tabpanel").get_by_role("link").filter(has_text="status").first)
    here.click(here.page.get_by_role("main").locator("a[href*='/artifacts/artifact/']").first)
    here.sees("production")


def where_is_my_commit(here: Place) -> None:
    page = here.at(here.board)
    page.get_by_role("searchbox").fill(here.sha[:7])
    here.button("Find")
    here.sees("Deployed since")


def deploy_to_dev(here: Place) -> None:
    here.starts("deploy-to-k8s", "Quick run")
    here.page.get_by_role("button", name="View run").wait_for()


def dry_run(here: Place) -> None:
    here.starts("deploy-to-k8s", "Custom run")
    here.click(here.page.get_by_role("switch").nth(1))
    here.button("Submit")
    here.page.get_by_role("button", name="View run").wait_for()


def _answers(here: Place, decision: str, note: str) -> None:
    here.click(here.page.get_by_role("main").get_by_role("button", name="Open menu").first)
    here.item("Resume")
    here.button("Select Decision")
    here.click(here.page.get_by_role("option", name=decision, exact=True))
    here.page.get_by_role("textbox", name="Approver").fill("Kim")
    here.page.get_by_role("textbox", name="Note").fill(note)
    button = here.page.get_by_role("button", name="Resume")
    dialog = here.page.get_by_role("dialog").filter(has=button)
    here.click(dialog.get_by_role("button", name="Resume"))
    dialog.wait_for(state="detached")


def approve(here: Place, run: str) -> None:
    here.ui(f"/runs/flow-run/{run}")
    _answers(here, "Approve", "seen in staging")


def reject(here: Place, run: str) -> None:
    here.ui(f"/runs/flow-run/{run}")
    _answers(here, "Reject", "not on a Friday")


def approve_before(here: Place, run: str) -> None:
    here.ui()
    here.link("Runs")
    here.click(here.page.locator(f"a[href*='{run}']").first)
    _answers(here, "Approve", "seen in staging")


def reject_before(here: Place, run: str) -> None:
    here.ui()
    here.link("Runs")
    here.click(here.page.locator(f"a[href*='{run}']").first)
    _answers(here, "Reject", "not on a Friday")


def why_it_failed(here: Place, run: str) -> None:
    here.ui(f"/runs/flow-run/{run}")
    here.page.get_by_role("log").get_by_text("Hint:").first.wait_for()


def why_it_failed_before(here: Place, run: str) -> None:
    here.ui()
    here.link("Runs")
    here.click(here.page.locator(f"a[href*='{run}']").first)
    here.page.get_by_role("log").get_by_text("Hint:").first.wait_for()


def _rolls_back(here: Place, to: str) -> None:
    here.starts("rollback", "Custom run")
    here.click(here.page.get_by_role("button", name="Select environment"))
    here.click(here.page.get_by_role("option", name="staging", exact=True))
    label = here.page.get_by_text("to (Optional)", exact=True)
    here.page.locator("div.group").filter(has=label).last.get_by_role("textbox").fill(to)
    here.button("Submit")
    here.page.get_by_role("button", name="View run").wait_for()


def roll_back(here: Place) -> None:
    here.at(here.board)
    here.click(here.page.get_by_role("link", name="Roll back").nth(1))
    to = here.page.get_by_text("--param to=").first.inner_text().rpartition("--param to=")[2].split()[0]
    _rolls_back(here, to)


def roll_back_before(here: Place) -> None:
    what_is_where_before(here)
    _rolls_back(here, here.sha[:7])


def what_changed(here: Place) -> None:
    here.at(here.board)
    here.click(here.page.locator(".version a").last)
    here.sees("Commits since")


def what_waits(here: Place) -> None:
    here.at(here.board)
    here.sees("Waiting for approval")


def what_waits_before(here: Place) -> None:
    here.ui("/runs?state=Suspended")
    here.link("Runs")
    here.sees("Suspended")


Task = Callable[..., None]
TASKS: dict[str, tuple[Task, Task | None]] = {
    "what is deployed where": (what_is_where, what_is_where_before),
    "where is my commit": (where_is_my_commit, None),
    "what changed in a deployment": (what_changed, None),
    "what waits for approval": (what_waits, what_waits_before),
    "start a deployment to dev": (deploy_to_dev, deploy_to_dev),
    "start a dry run": (dry_run, None),
    "approve for production": (approve, approve_before),
    "reject": (reject, reject_before),
    "why a run failed": (why_it_failed, why_it_failed_before),
    "roll back, with a choice": (roll_back, roll_back_before),
}
"""Each task, now and before; nothing where Prefect's own pages can't answer."""


def main() -> None:
    """Print the machine, and the table."""
    console = Console(width=120)
    table = Table("task", "clicks", "seconds", "before: clicks", "seconds", title="An operator's tasks")
    with _place() as here:
        for number, (name, (task, before)) in enumerate(TASKS.items()):
            cells = [_measured(here, task, f"v{number}.1")]
            cells.append(_measured(here, before, f"v{number}.0") if before else ("–", "–"))
            table.add_row(name, *(cell for pair in cells for cell in pair))
            console.print(name, cells)
    console.print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    console.print(table)


def _measured(here: Place, task: Task, tag: str) -> tuple[str, str]:
    """Do a task, after what it needs was made ready, and return its clicks and seconds."""
    needed = list[str]()
    if task in (approve, approve_before, reject, reject_before, what_waits, what_waits_before):
        needed = [here.waiting(tag)]
    if task in (why_it_failed, why_it_failed_before):
        needed = [here.run("rollback", environment="dev", to=f"no-{tag}")]
        until(lambda: here.state(needed[0]) == "Failed", 120)
    given = [] if task in (what_waits, what_waits_before) else needed
    time.sleep(BOARD_LOOKS if task is what_waits else 0)  # the board looks again after that
    here.clicks, begun = 0, time.monotonic()
    task(here, *given)
    return str(here.clicks), f"{time.monotonic() - begun:.1f}"


@contextmanager
def _place() -> Iterator[Place]:
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        source, gitops = source_repository(folder / "source.git"), gitops_repository(folder / "gitops.git")
        shas = three_weeks(source, gitops, now())
        database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": parts.enter_context(postgres())}
        server = parts.enter_context(prefect_server(folder / "prefect", settings=database))
        names = {"SOURCE_REPO": str(source), "GITOPS_REPO": str(gitops), "ECR_REGISTRY": "registry.example.com"}
        env = {**os.environ, **server.environment(), **names, "PREFECT_UI_URL": f"{server.ui_url}/v2"}
        for command in (["flows.setup"], ["prefect", "--no-prompt", "deploy", "--all"]):
            subprocess.run(
                [sys.executable, "-m", *command], cwd=PROJECT, env=env, check=True, stdout=subprocess.DEVNULL
            )
        parts.enter_context(worker(env, folder / "worker.log", "flowise-gitops"))
        pages = parts.enter_context(board(env, folder / "board.log"))
        playwright = parts.enter_context(sync_playwright())
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        yield Place(server, pages, page, shas[4])
        browser.close()


if __name__ == "__main__":
    main()
