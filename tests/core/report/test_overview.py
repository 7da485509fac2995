"""What is where, as a page, as rows and in words."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.status import Ahead, Entry, EnvironmentStatus, Status
from tasks.core.models import ImageRef
from tasks.core.report import overview, status_page
from tasks.core.report.links import Web
from tasks.core.report.overview import Health, Overview, Waiting
from tasks.core.settings import Settings

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
RUN = "0384a41b-3b1c-4b62-a0d1-924eff3dd9c7"
WEB = Web(Settings(source_repo="acme/flowise", gitops_repo="acme/devops"), "http://prefect/v2")


def entry(environment: str, letter: str, hours: int, fate: str = "live", **more: str) -> Entry:
    deployment = Deployment(
        commit=letter * 40,
        at=NOW - timedelta(hours=hours),
        environment=environment,
        tag=f"v-{letter}",
        sha=letter * 40,
        actor="Nguyễn | Văn A",
        **more,
    )
    return Entry(deployment=deployment, fate=fate)


def state(environment: str, *history: Entry, by_hand: bool = False) -> EnvironmentStatus:
    images = (ImageRef("flowise-server", digest="sha256:" + "a" * 64),)
    return EnvironmentStatus(environment=environment, images=images, history=history, by_hand=by_hand)


@pytest.fixture
def view() -> Overview:
    dev = state("dev", entry("dev", "b", 1, run=RUN), entry("dev", "a", 50, "superseded by bbbbbbb"))
    staging = state("staging", entry("staging", "a", 49, promoted_from=f"dev {'a' * 40}"), by_hand=True)
    differences = (
        Ahead(behind="staging", ahead="dev", commits=(f"+ {'b' * 7} feat: [a] link", f"- {'c' * 7} fix: gone")),
        Ahead(behind="production", ahead="staging", unknown="a source commit is not known"),
    )
    return Overview(
        at=NOW,
        status=Status(commit="d" * 40, environments=(dev, staging, state("production")), differences=differences),
        health={"dev": Health(status="Degraded", words="Back-off pulling image")},
        waiting=(Waiting(id="1", environment="staging", run="promote to staging", url="http://prefect/run"),),
    )


def test_the_page_links_versions_runs_and_commits(view: Overview) -> None:
    page = status_page.page(view, WEB)
    source, gitops = "https://github.com/acme/flowise/commit/", "https://github.com/acme/devops/commit/"
    for said in (
        f"GitOps commit [`ddddddd`]({gitops}{'d' * 40})",
        f"| **dev** | [`v-b`]({source}{'b' * 40}) | [2026-11-25 11:00 (1 h)](http://prefect/v2/runs/flow-run/{RUN}) |",
        "Degraded: Back\\-off pulling image",
        "<br>**changed by hand since** | 2026-11-23 11:00 (2 d)",
        "| 1 commit of dev |",
        "| **production** | never deployed to |",
        "- **staging**: [promote to staging](http://prefect/run)",
        f"- [`bbbbbbb`]({source}bbbbbbb) feat\\: \\[a\\] link",
        f"- **goes away:** [`ccccccc`]({source}ccccccc) fix\\: gone",
        "Not known: a source commit is not known",
    ):
        assert said in page
    assert "Nguyễn \\| Văn A" in page, "a name must not end its cell"


def test_the_ledger_is_newest_first_and_short(view: Overview) -> None:
    rows = status_page.rows(view)
    assert [(row["environment"], row["version"], row["outcome"]) for row in rows] == [
        ("dev", "v-b", "live"),
        ("staging", "v-a", "live"),
        ("dev", "v-a", "superseded by bbbbbbb"),
    ]
    assert rows[1]["what"] == "promoted from dev aaaaaaa"
    assert (rows[0]["source"], rows[0]["commit"]) == ("b" * 7, "b" * 7)


def test_a_row_in_plain_words(view: Overview) -> None:
    dev, staging, production = (overview.row(view, each) for each in view.status.environments)
    assert (dev["version"], dev["age"], dev["health"]) == ("v-b", "1 h", "Degraded")
    assert (staging["version"], staging["waits"]) == ("v-a (changed by hand since)", "promote to staging")
    assert (staging["not yet here"], production["not yet here"]) == ("1 commit of dev", "unknown")
    assert (production["version"], production["health"]) == ("never deployed to", "not asked")


@pytest.mark.parametrize(
    ("seconds", "said"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (86399, "23 h"), (172800, "2 d")]
)
def test_an_age_in_its_largest_unit(seconds: int, said: str) -> None:
    assert overview.age(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.mark.parametrize(
    ("run", "address"),
    [
        (RUN, f"http://prefect/v2/runs/flow-run/{RUN}"),
        ("123456", "https://github.com/acme/flowise/actions/runs/123456"),
        ("../../evil", ""),
        ("", ""),
    ],
)
def test_the_page_of_a_run(run: str, address: str) -> None:
    assert WEB.run(run) == address
