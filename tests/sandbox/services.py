"""Marks that follow from fixtures: a test is marked with the programs that its fixtures start, never by hand."""

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest

Fixture = TypeVar("Fixture", bound=Callable[..., object])
SERVICE = "service"
"""The mark of each test that starts a program; a finer mark says which kind."""
SERVED = "served-"
"""What the names of groups begin with that share a worker of Prefect."""


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


def share(items: list[pytest.Item]) -> None:
    """Let files whose tests need deployments and a worker of Prefect come first, as one group for each process.

    They share what a group's first test has started (``served``); every other file is a group of its own.
    """
    files = sorted({item.path for item in items if "served" in getattr(item, "fixturenames", ())})
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for item in items:
        group = f"{SERVED}{files.index(item.path) % processes}" if item.path in files else item.nodeid.split("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.path not in files)


def is_served(item: pytest.Item) -> bool:
    """Whether a test is in a file that shares a worker of Prefect."""
    group = item.get_closest_marker("xdist_group")
    return bool(group and str(group.args[0]).startswith(SERVED))
