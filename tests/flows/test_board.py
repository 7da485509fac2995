"""The board as a browser without JavaScript gets it; no Prefect server takes part."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.sync_api import sync_playwright

from flows import board, board_snapshots
from flows.status_command import main as flowise_status
from tasks.clients import overlays
from tasks.core.gitops.writer import write
from tasks.core.models import ImageUpdate
from tasks.core.report.links import Web
from tasks.core.report.overview import Health, Overview, Waiting, now
from tasks.core.settings import load
from tests.sandbox.in_process import served
from tests.sandbox.repositories import git
from tests.sandbox.services import starts
from tests.sandbox.weeks import three_weeks

A, B = ("sha256:" + letter * 64 for letter in "ab")


def deploy(environment: str, sha: str, digest: str, actor: str = "Lan", **more: Any) -> str:
    update = ImageUpdate.parse(
        environment=environment, tag=sha[:7], sha=sha, server_digest=digest, ui_digest=digest, actor=actor
    )
    return write(overlays(load(), update.environment), update, "registry.example", lambda _: None, **more).commit


@pytest.fixture
def commits(source: Path, gitops: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Both repositories, with the older of two source commits in staging and both in dev; returns them."""
    monkeypatch.setenv("SOURCE_REPO", str(source))
    monkeypatch.setenv("GITOPS_REPO", str(gitops))
    monkeypatch.setenv("PREFECT_UI_URL", "http://prefect.example")
    old, new = (git(source, "rev-parse", f"{ref}^{{commit}}").decode().strip() for ref in ("v1.0.0", "main"))
    deploy("dev", old, A)
    deploy("staging", old, A, actor="<script>alert(1)</script>")
    deploy("dev", new, B)
    return [old, new]


@pytest.fixture
def get(commits: list[str]) -> Iterator[Callable[[str], httpx.Response]]:
    """Ask for a page."""
    with served(board.application()) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client.get


def words(response: httpx.Response) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.text).split())


def test_the_first_page_says_what_is_where(get: Callable[[str], httpx.Response], commits: list[str]) -> None:
    old, new = commits
    page = get("/")
    said = words(page)
    assert f"dev ○ Health not asked {new[:7]}" in said
    assert f"staging ○ Health not asked {old[:7]}" in said
    assert "Not yet here: 1 commit of dev" in said
    assert "production ○ Health not asked Nothing yet" in said
    assert f"{new[:7]} perf(server): answer pings without logging" in said
    assert page.text.count('class="segment live"') == 2


def test_what_people_typed_is_text_and_nothing_can_run(get: Callable[[str], httpx.Response]) -> None:
    for path in ("/", "/deployments", "/where?q=<script>alert(1)</script>", "/deployments?environment=<script>"):
        page = get(path)
        assert page.status_code == 200
        assert "<script" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert get("/style.css").headers["content-type"].startswith("text/css")


def test_nothing_can_be_changed(get: Callable[[str], httpx.Response]) -> None:
    client = get.__self__  # type: ignore[attr-defined]
    assert {client.request(method, "/").status_code for method in ("POST", "PUT", "DELETE")} == {405}


def test_the_page_of_a_deployment(get: Callable[[str], httpx.Response], commits: list[str], gitops: Path) -> None:
    page = get(f"/deployments/{git(gitops, 'rev-parse', 'main').decode().strip()}")
    said = words(page)
    for known in (A, B, "perf(server): answer pings without logging", "Lan", f"Commits since {commits[0][:7]}"):
        assert known in said
    assert "Deployment flowise-dev/flowise-server restarts" in said, "kustomize renders both versions"
    assert get(f"/deployments/{'0' * 40}").status_code == 404


def test_what_an_environment_can_be_rolled_back_to(get: Callable[[str], httpx.Response], gitops: Path) -> None:
    newest, before = git(gitops, "log", "-2", "--format=%H", "--", "argocd/apps/flowise/overlays/dev").decode().split()
    said = words(get("/rollback/dev"))
    assert f"--param environment=dev --param to={before[:7]}" in said
    assert newest[:7] not in said.partition("As of")[0]
    assert "There is nothing to go back to" in words(get("/rollback/production"))
    assert get("/rollback/qa").status_code == 422


def test_where_a_commit_is(get: Callable[[str], httpx.Response], commits: list[str]) -> None:
    old, new = commits
    assert "dev ✓ Deployed since" in words(get(f"/where?q={new[:7]}"))
    assert f"staging ○ Not yet Its newest version is {old[:7]}" in words(get(f"/where?q={new}"))
    assert words(get("/where?q=v1.0.0")).count("✓ Deployed") == 2
    assert "No commit is called nonsense" in words(get("/where?q=nonsense"))


def test_figures_and_days_that_nobody_offers(get: Callable[[str], httpx.Response]) -> None:
    assert "Deployments 2" in words(get("/figures"))
    assert get("/?days=100000000").status_code == get("/figures?days=-1").status_code == 200


def test_while_git_is_away_the_last_state_stays_and_says_so(
    get: Callable[[str], httpx.Response], gitops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board_snapshots, "FRESH", 0.0)
    assert "Not up to date" not in words(get("/"))
    gitops.rename(gitops.with_name("moved.git"))
    page = get("/")
    assert page.status_code == 200
    assert "Not up to date." in words(page)


def test_the_command_prints_the_same_table(
    commits: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["flowise-status"])
    assert flowise_status() == 0
    assert commits[1][:7] in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["flowise-status", "--json"])
    assert flowise_status() == 0
    assert f'"tag": "{commits[1][:7]}"' in capsys.readouterr().out


@pytest.fixture
@starts("browser")
def chromium() -> str:
    """A browser's program."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no browser: apt-get install chromium")
    return found


@pytest.fixture
def busy(source: Path, gitops: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The board of a team at work; a stand-in says what Argo CD and Prefect would."""
    at = now()
    three_weeks(source, gitops, at)
    settings = {"SOURCE_REPO": str(source), "GITOPS_REPO": str(gitops), "ARGOCD_SERVER": "argocd.example.com"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    places = {"source_repo": "acme/flowise", "gitops_repo": "acme/devops"}
    known = Web(load().model_copy(update=places), "https://prefect.example.com/v2")
    health = {
        "dev": Health(status="Healthy"),
        "staging": Health(status="Degraded", words="Pod flowise-server-5d9c7: Back-off restarting failed container."),
        "production": Health(status="Healthy"),
    }
    asks = Waiting(
        id=str(UUID(int=1)),
        environment="production",
        run="promote to production",
        url="",
        since=at - timedelta(hours=2),
    )
    monkeypatch.setattr(
        board_snapshots, "overview", lambda status: Overview(at=at, status=status, health=health, waiting=(asks,))
    )
    monkeypatch.setattr(board_snapshots, "web", lambda: known)
    with served(board.application()) as url:
        yield url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_looks_right_in_a_browser_without_javascript(
    scheme: Any, busy: str, chromium: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder, told = request.config.getoption("pictures") or tmp_path, list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(java_script_enabled=False, color_scheme=scheme, viewport={"width": 1280, "height": 900})
        page.on("console", lambda said: told.append(said.text))
        page.goto(busy)
        page.set_viewport_size({"width": 1280, "height": 1090})
        page.screenshot(path=folder / f"board-{scheme}.png")
        page.get_by_role("link", name="Roll back").last.click()
        assert "Roll back production" in page.get_by_role("heading", level=1).inner_text()
        page.goto(f"{busy}/deployments?environment=production")
        page.locator("tbody a").first.click()
        assert page.get_by_role("heading", name="Commits since").count() == 1
        if scheme == "light":
            page.screenshot(path=folder / "board-deployment.png")
        page.get_by_role("searchbox").fill("v1.0.0")
        page.get_by_role("button", name="Find").click()
        assert page.locator(".pill.ok").count() == 3
        for width in (1280, 400):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is cut off"
        browser.close()
    assert told == [], "the browser complains of nothing"
