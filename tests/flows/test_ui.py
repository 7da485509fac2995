"""What an operator sees: a run in the Prefect UI, in a real browser. With SCREENSHOTS set, the docs' pictures."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.flows.conftest import PROJECT, Installation
from tests.sandbox.repositories import commit

ONE_LINE = "from flows import deploy_to_k8s as d; print(d(environment='dev', ref='main').tag)"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a headless Chromium with a profile of its own."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser_path:
        assert not os.environ.get("CI"), "CI has a browser"
        pytest.skip("no browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        yield browser.new_page(viewport={"width": 1400, "height": 900})
        browser.close()


def picture(page: Page, name: str, tmp_path: Path) -> None:
    folder = PROJECT / "docs" / "images" if os.environ.get("SCREENSHOTS") else tmp_path
    page.screenshot(path=folder / f"{name}.png")


def test_a_run_shows_its_steps_and_its_summary(installation: Installation, page: Page, tmp_path: Path) -> None:
    commit(installation.source, "main", {"packages/ui/src/new.ts": f"// {tmp_path}\n"}, "feat(ui): something to build")
    run = installation.run("-c", ONE_LINE)
    assert run.returncode == 0, run.stderr
    tag = run.stdout.strip()
    query = {"flow_runs": {"name": {"any_": ["dev main"]}}, "sort": "START_TIME_DESC", "limit": 1}
    (found,) = installation.ask("flow_runs/filter", query)

    page.goto(f"{installation.server.ui_url}/runs/flow-run/{found['id']}")
    expect(page.get_by_text("Completed").first).to_be_visible(timeout=30_000)
    expect(page.get_by_text(f"tag {tag}, for dev").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(2000)  # the graph draws itself on a canvas and says nothing when it is done
    picture(page, "run", tmp_path)

    page.get_by_text("Artifacts", exact=True).click()
    expect(page.get_by_text("deploy-dev").first).to_be_visible(timeout=30_000)
    (summary,) = installation.ask("artifacts/latest/filter", {"artifacts": {"key": {"any_": ["deploy-dev"]}}})
    page.goto(f"{installation.server.ui_url}/artifacts/artifact/{summary['latest_id']}")
    expect(page.get_by_text("argocd/apps/flowise/overlays/dev").first).to_be_visible(timeout=30_000)
    picture(page, "summary", tmp_path)
