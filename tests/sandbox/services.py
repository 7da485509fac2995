"""Marks that follow from fixtures: a test is marked with the programs that its fixtures start, never by hand."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

Fixture = TypeVar("Fixture", bound=Callable[..., object])
SERVICE = "service"
"""The mark of each test that starts a program; a finer mark says which kind."""


def starts(kind: str) -> Callable[[Fixture], Fixture]:
    """Say that a fixture starts a program of this kind, which is a mark; goes below ``pytest.fixture``."""

    def say(fixture: Fixture) -> Fixture:
        vars(fixture)["starts"] = kind
        return fixture

    return say


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark each test with the kinds of programs that its fixtures start, directly or through other fixtures."""
    for item in items:
        definitions = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
        kinds = {getattr(overriding[-1].func, "starts", "") for overriding in definitions} - {""}
        for kind in sorted({SERVICE, *kinds}) if kinds else ():
            item.add_marker(kind)
