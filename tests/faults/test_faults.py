"""The page of faults is whole, and what it says of undoing, of what is left behind and of secrets is true."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.rollout.test_recordings import SCENES
from tests.faults.__main__ import ROWS, TIMES, cell, short_limits
from tests.faults.delivery import TOKEN
from tests.faults.proxy import FAULTS
from tests.sandbox.services import starts

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    with short_limits():
        yield


def test_the_page_has_each_cell() -> None:
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = {tuple(line[:3]): line for line in lines if line[1] in FAULTS}
    assert set(cells) == {(what, fault, often) for what in ROWS for fault in FAULTS for often in TIMES}
    assert {line[3] for line in cells.values() if line[4] != "no"} == {"RolloutFailed"}
    assert not [line for line in cells.values() if "commits: 2" in line or TOKEN in " ".join(line)]
    assert {scene.name for scene in SCENES} <= {line[0] for line in lines}


@pytest.mark.parametrize(
    ("what", "fault", "often", "kind", "undone", "left"),
    [
        ("Argo CD, looking", "500", "always", "Inconclusive", "no", "syncs asked for: 0"),
        ("Argo CD, looking", "garbage", "always", "InvalidInput", "no", "syncs asked for: 0"),
        ("Argo CD, asking for a sync", "garbage", "once", "healthy", "no", "syncs asked for: 1"),
        ("endpoint", "500", "always", "RolloutFailed", "may be", ""),
        ("endpoint", "reset", "always", "Inconclusive", "no", ""),
        ("git, fetching", "500", "always", "Unavailable", "no", "commits: 0"),
        ("git, fetching", "garbage", "once", "changed", "no", "commits: 1"),
        ("git, fetching", "garbage", "always", "InvalidInput", "no", "commits: 0"),
        ("git, pushing", "403", "always", "AccessDenied", "no", "commits: 0"),
        ("git, pushing", "lost", "always", "changed", "no", "commits: 1"),
        ("GitHub, dispatch", "429", "once", "sent", "no", "dispatches: 1"),
        ("GitHub, status", "garbage", "always", "logged", "no", ""),
        ("Prefect, event", "garbage", "always", "Unavailable", "no", "events: 0"),
        ("Prefect, event", "lost", "once", "sent", "no", "events: 1"),
        ("Prefect, variable", "403", "always", "AccessDenied", "no", ""),
    ],
)
def test_a_cell(what: str, fault: str, often: str, kind: str, undone: str, left: str) -> None:
    found = cell(what, fault, often)
    assert found[:3] == (kind, undone, left), found
    assert TOKEN not in found.words


@pytest.fixture
@starts("registry")
def _registries() -> None:
    """Let each cell start a registry of its own."""


@pytest.mark.parametrize(
    ("what", "fault", "often", "kind", "left"),
    [
        ("registry, digest of a tag", "500", "always", "Unavailable", "tags: v1"),
        ("registry, adding a tag", "lost", "once", "tagged", "tags: latest v1"),
        ("registry, adding a tag", "garbage", "always", "Unavailable", "tags: v1"),
    ],
)
@pytest.mark.usefixtures("_registries")
def test_a_cell_of_the_registry(what: str, fault: str, often: str, kind: str, left: str) -> None:
    found = cell(what, fault, often)
    assert found[:3] == (kind, "no", left), found
