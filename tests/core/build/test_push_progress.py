"""The engine's records of a push, as Docker 20.10 and newer write them."""

import pytest

from tasks.core.build.push_progress import Layers


def record(layer: str, status: str, current: int = 0, total: int = 0) -> dict:
    detail = {"current": current, "total": total} if total else {}
    return {"id": layer, "status": status, "progressDetail": detail}


def test_how_much_is_done() -> None:
    """The manifest, which comes last, counts as one more layer."""
    told: list[float] = []
    layers = Layers(lambda _: None, told.append)
    layers.record({"status": "The push refers to repository [registry/app]"})
    assert told == []
    layers.record(record("one", "Preparing"))
    layers.record(record("two", "Waiting"))
    layers.record(record("one", "Pushing", 60, 200))
    assert told == [0, 0, pytest.approx(0.1)]
    layers.record(record("two", "Layer already exists"))
    layers.record(record("one", "Pushing", 512, 5))  # an archive is longer than its files
    layers.record(record("one", "Retrying in 5 seconds"))
    assert told[3:] == [pytest.approx(1.3 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3)]
    layers.record({"aux": {"Digest": "sha256:1"}, "progressDetail": {}})
    assert len(told) == 6


def test_layers_that_are_told_of_one_by_one() -> None:
    """As by engines with the containerd image store."""
    told: list[float] = []
    layers = Layers(lambda _: None, told.append, 3)
    for name in ("one", "two", "three", "the configuration"):
        layers.record(record(name, "Pushed"))
    assert told == [0.25, 0.5, 0.75, 0.8]


def test_what_is_logged() -> None:
    lines: list[str] = []
    layers = Layers(lines.append, lambda _: None)
    for status in ("Preparing", "Pushing", "Retrying in 2 seconds", "Retrying in 1 second", "Pushing", "Pushed"):
        layers.record(record("one", status))
    assert lines == ["one: Retrying in 2 seconds", "one: Pushed"]
