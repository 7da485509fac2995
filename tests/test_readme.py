"""docs/generate.py: README and both references say what the code says."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
from prefect.utilities.callables import parameter_schema

from tasks.core.images import Images
from tasks.core.settings import Settings

PROJECT = Path(__file__).parents[1]
SCRIPT = PROJECT / "docs" / "generate.py"
GENERATE = runpy.run_path(str(SCRIPT))


def test_what_is_made_from_the_code_is_the_code_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    assert GENERATE["main"]() == 0, "make docs"


def test_a_page_that_says_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_fields, "gitops_branch", Settings.model_fields["gitops_repo"])
    found = [str(page.relative_to(PROJECT)) for page in GENERATE["outdated"]()]
    assert found == ["docs/reference.md", "docs/vi/reference.md"]


def test_every_setting_and_parameter_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    for flow in GENERATE["FLOWS"]:
        assert all(each.get("description") for each in parameter_schema(flow).properties.values()), flow.name


def test_the_images_that_are_shown_are_a_setting_as_they_stand() -> None:
    shown = json.loads(GENERATE["images"]().removeprefix("```json\n").removesuffix("```\n"))
    assert Settings.model_validate({"images": shown}).images == Images()


def test_each_picture_is_one_that_the_browser_tests_take() -> None:
    taken = re.findall(r'takes_a_picture\("([\w-]+)"', (PROJECT / "tests/flows/test_operator.py").read_text())
    board = {"board-light", "board-dark", "board-deployment"}
    assert {path.stem for path in (PROJECT / "docs/images").glob("*.png")} == board | set(taken), "make screenshots"
