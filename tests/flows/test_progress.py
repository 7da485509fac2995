"""Progress artifacts are made beside the build: it never waits for them."""

import threading
from uuid import uuid4

import pytest

from tasks.runtime import progress


class Api:
    """Prefect's API, as slow as it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.asked, self.may_answer, self.idle = threading.Event(), threading.Event(), threading.Event()

    def create(self, percent: float, key: str, _description: str) -> object:
        self.asked.set()
        assert self.may_answer.wait(30)
        self.calls.append((key, percent))
        return uuid4()

    def update(self, _artifact: object, percent: float) -> None:
        self.calls.append(("", percent))
        if percent == 100:
            self.idle.set()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr(progress, "create_progress_artifact", api.create)
    monkeypatch.setattr(progress, "update_progress_artifact", api.update)
    return api


def test_the_build_does_not_wait_for_a_slow_api(api: Api) -> None:
    with progress.progress_artifacts("app") as tell:
        tell("build", 0.25)
        assert api.asked.wait(30)
        for step in range(1000):  # while the first call has no answer
            tell("build", step / 1000)
        tell("build", 1.0)
        tell("build", 1.0)
    assert api.calls == []
    api.may_answer.set()
    assert api.idle.wait(30)
    assert api.calls == [("build-app", 25.0), ("", 100.0)]


def test_updates_are_spaced(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS", 3600)
    api.may_answer.set()
    with progress.progress_artifacts("app") as tell:
        for step in range(100):
            tell("push", step / 100)
        tell("push", 1.0)
    assert api.idle.wait(30)
    assert api.calls == [("push-app", 0.0), ("", 100.0)]
