"""An operator's day in the Prefect UI, in a real browser; `make screenshots` takes the docs' pictures of it."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from flows import update_flowise_deployment
from tests.flows.conftest import Installation
from tests.flows.operator_ui import Operator
from tests.sandbox.repositories import commit, git, head, log
from tests.sandbox.services import starts
from tests.sandbox.until import until

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PATIENCE = 90_000
"""Milliseconds until something shows: a worker starts a process meanwhile, on a machine that may be busy."""

SLEEP = "86398"
"""Seconds a build sleeps, and how its process is found."""


@pytest.fixture
@starts("browser")
def operator(served: Installation, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Operator]:
    """An operator with a headless Chromium, and a profile of its own. No flow runs in this process meanwhile."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser_path:
        assert not os.environ.get("CI"), "CI has a browser"
        pytest.skip("no browser: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(PATIENCE)
        folder = request.config.getoption("pictures")
        yield Operator(page, served.server.ui_url, folder or tmp_path, patient=bool(folder))
        browser.close()


def start(served: Installation, name: str, **parameters: Any) -> str:
    """A run as somebody else's click makes it."""
    api = served.server.api_url
    found = httpx.get(f"{api}/deployments/name/{name}/{name}", trust_env=False).json()
    made = httpx.post(
        f"{api}/deployments/{found['id']}/create_flow_run", json={"parameters": parameters}, trust_env=False
    )
    return made.raise_for_status().json()["id"]


def runs(served: Installation) -> int:
    return httpx.post(f"{served.server.api_url}/flow_runs/count", json={}, trust_env=False).json()


def state(served: Installation, run: str) -> dict[str, Any]:
    return httpx.get(f"{served.server.api_url}/flow_runs/{run}", trust_env=False).json()["state"]


def test_a_deployment_from_the_form_to_the_summary(served: Installation, operator: Operator) -> None:
    sha = commit(served.source, "main", {"packages/ui/src/new.ts": f"// {served.source}\n"}, "feat(ui): something new")
    tag, before = f"{sha[:7]}-node22", len(log(served.gitops))

    operator.opens_the_form("deploy-to-k8s")
    expect(operator.drop_down("environment")).to_have_text("dev")
    expect(operator.drop_down("node_version")).to_have_text("20")
    expect(operator.field("ref").get_by_role("textbox")).to_have_value("main")
    operator.takes_a_picture("run-form")
    operator.chooses("environment", "staging")
    operator.chooses("node_version", "22")
    operator.submits()

    operator.views_the_new_run()
    operator.reads_the_log("submitting flow run")
    operator.sees_state("Completed")
    operator.reads_the_log("Finished in state Completed('staging: ", "Newest to oldest")
    operator.takes_a_picture("run")
    operator.opens_the_artifact("deploy-staging")
    expect(operator.main).to_contain_text(f"staging: {tag}")
    for name in ("flowise-server", "flowise-ui"):
        expect(operator.main).to_contain_text(served.images.digest(name, tag))
    newest, *older = log(served.gitops)
    assert len(older) == before
    expect(operator.main).to_contain_text(newest["sha"])
    operator.takes_a_picture("summary")


def test_every_field_says_what_it_is_for_and_a_bad_value_why_it_is_refused(
    served: Installation, operator: Operator
) -> None:
    before = runs(served)
    operator.opens_the_form("deploy-to-k8s")
    for name in ("environment", "ref", "node_version", "tag_version", "dispatch_via", "force", "actor"):
        expect(operator.field(name).get_by_role("paragraph").first).to_have_text(re.compile(r"^[A-Z].{10,}\.$"))
    operator.field("ref").get_by_role("textbox").fill("-x")
    operator.field("tag_version").get_by_role("textbox").fill("a b")
    operator.submits()
    expect(operator.field("ref")).to_contain_text("'-x' does not match '(?#a branch, tag or commit, such as main")
    expect(operator.field("tag_version")).to_contain_text("'a b' does not match '(?#letters, digits and . _ - alone")
    operator.takes_a_picture("bad-value")
    assert runs(served) == before


@pytest.fixture
def older(served: Installation) -> Installation:
    """Production has the release v1.0.0, one commit behind main."""
    sha = git(served.source, "rev-parse", "v1.0.0^{commit}").decode().strip()
    assert update_flowise_deployment("production", "v1.0.0", sha=sha).changed
    return served


def test_an_approval_in_the_dialog_is_one_commit(older: Installation, operator: Operator) -> None:
    sha, before = head(older.source), len(log(older.gitops))
    run = start(older, "deploy-to-k8s", environment="production")
    operator.opens_the_run(run)
    dialog = operator.opens_the_question()
    server, ui = (older.images.digest(name, sha[:7]) for name in ("flowise-server", "flowise-ui"))
    host = older.images.host
    for words in (
        f"from {host}/flowise-server:v1.0.0",
        f"to {host}/flowise-server {server[:39]} {server[39:]}",
        f"to {host}/flowise-ui {ui[:39]} {ui[39:]}",
        f"+ {sha[:7]} perf(server): answer pings without logging",
    ):
        expect(dialog).to_contain_text(words)
    assert len(log(older.gitops)) == before
    operator.decides(dialog, "Approve")
    dialog.get_by_role("textbox", name="Approver").fill("Robin")
    dialog.get_by_role("textbox", name="Note").fill("seen in staging")
    dialog.get_by_role("heading", name=f"production: {sha[:7]}").scroll_into_view_if_needed()
    operator.takes_a_picture("approval", height=1200)
    operator.resumes(dialog)

    operator.sees_state("Completed")
    newest, *others = log(older.gitops)
    assert len(others) == before
    assert {"Approved by: Robin (as typed)", "Approval note: seen in staging"} <= set(newest["body"].splitlines())


def test_a_rejection_in_the_dialog_ends_the_run_and_writes_nothing(older: Installation, operator: Operator) -> None:
    before = head(older.gitops)
    run = start(older, "update-flowise-deployment", environment="production", tag="v2.0.0")
    operator.opens_the_run(run)
    dialog = operator.opens_the_question()
    operator.decides(dialog, "Reject")
    dialog.get_by_role("textbox", name="Approver").fill("Robin")
    dialog.get_by_role("textbox", name="Note").fill("not on a Friday")
    operator.resumes(dialog)

    operator.sees_state("Failed")
    operator.reads_the_log("v2.0.0 is rejected for production by Robin: not on a Friday.", "Newest to oldest")
    operator.takes_a_picture("rejected", height=600)  # above the log, whose traceback names folders
    assert "rejected for production by Robin: not on a Friday" in state(older, run)["message"]
    assert head(older.gitops) == before


def asleep() -> bool:
    """Whether the build's process is there."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if each.read_bytes().split(b"\0")[-3:-1] == [b"sleep", SLEEP.encode()]:
                return True
        except OSError:  # it has ended meanwhile
            continue
    return False


def test_a_run_cancelled_in_the_menu_stops_its_build(served: Installation, operator: Operator) -> None:
    before = head(served.gitops)
    dockerfile = f'FROM scratch\nCOPY tools/busybox /busybox\nRUN ["/busybox", "sleep", "{SLEEP}"]\n'
    commit(served.source, "main", {"packages/server/Dockerfile": dockerfile}, "build: sleep")
    run = start(served, "deploy-to-k8s")
    operator.opens_the_run(run)
    operator.sees_state("Running")
    until(asleep)
    operator.picks("Cancel")
    operator.page.get_by_role("alertdialog").get_by_role("button", name="Cancel Flow Run").click()

    operator.sees_state("Cancelled")
    until(lambda: not asleep())
    operator.reads_the_log("Stopped. Nothing is written to the GitOps repository", "Newest to oldest")
    assert state(served, run)["type"] == "CANCELLED"
    assert head(served.gitops) == before
