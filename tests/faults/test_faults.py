"""The table of faults is whole, and what it says of undoing is true."""

from pathlib import Path

import pytest

from tests.faults.__main__ import ROWS, cell
from tests.faults.proxy import FAULTS, Proxy

TABLE = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_page_has_each_cell() -> None:
    lines = [line.split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| ")][1:]
    cells = {(line[0].removeprefix("| "), line[1], line[2]) for line in lines}
    wanted = {(what, fault, often) for what in ROWS for fault in FAULTS for often in ("once", "always")}
    assert wanted <= cells
    assert {line[3] for line in lines if line[4] != "no"} <= {"RolloutFailed", "undone", "---"}


@pytest.mark.parametrize(
    ("what", "fault", "times", "kind", "undone"),
    [
        ("Argo CD, looking", "500", 1e9, "Inconclusive", "no"),
        ("Argo CD, looking", "garbage", 1e9, "InvalidInput", "no"),
        ("Argo CD, asking for a sync", "garbage", 2, "healthy", "no"),
        ("endpoint", "500", 1e9, "RolloutFailed", "may be"),
        ("endpoint", "reset", 1e9, "Inconclusive", "no"),
    ],
)
def test_a_cell(what: str, fault: str, times: float, kind: str, undone: str) -> None:
    found = cell(lambda: ROWS[what](Proxy(fault, times)))
    assert found[:2] == (kind, undone), found
