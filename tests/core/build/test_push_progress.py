"""The engine's records of a push, as Docker 20.10 and newer write them."""

from tasks.core.build.push_progress import Layers


def record(layer: str, status: str, current: int = 0, total: int = 0) -> dict:
    detail = {"current": current, "total": total} if total else {}
    return {"id": layer, "status": status, "progressDetail": detail}


def test_how_much_is_done() -> None:
    told: list[float] = []
    layers = Layers(lambda _: None, told.append)
    layers.record({"status": "The push refers to repository [registry/app]"})
    assert told == []
    layers.record(record("one", "Preparing"))
    layers.record(record("two", "Waiting"))
    layers.record(record("one", "Pushing", 50, 200))
    assert told == [0, 0, 0.125]
    layers.record(record("two", "Layer already exists"))
    layers.record(record("one", "Pushing", 512, 5))  # an archive is longer than its files
    assert told[3:] == [0.625, 1]
    layers.record(record("three", "Mounted from other/app"))
    layers.record(record("one", "Pushed"))
    layers.record({"aux": {"Digest": "sha256:1"}, "progressDetail": {}})
    assert told[5:] == [1, 1]


def test_what_is_logged() -> None:
    lines: list[str] = []
    layers = Layers(lines.append, lambda _: None)
    for status in ("Preparing", "Pushing", "Retrying in 2 seconds", "Retrying in 1 second", "Pushing", "Pushed"):
        layers.record(record("one", status))
    assert lines == ["one: Retrying in 2 seconds", "one: Pushed"]
