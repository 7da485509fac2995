"""Calls to Prefect's server while it is away."""

import httpx
import pytest

from tasks.core.errors import Unavailable
from tasks.runtime import server
from tasks.runtime.server import patiently

REQUEST = httpx.Request("GET", "http://127.0.0.1/api")


def answering(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError(str(status), request=REQUEST, response=httpx.Response(status, request=REQUEST))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited; the clock goes on by that alone."""
    waited: list[float] = []

    class Clock:
        sleep = staticmethod(waited.append)

        @staticmethod
        def monotonic() -> float:
            return 1000 + sum(waited)

    monkeypatch.setattr(server, "time", Clock)
    return waited


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), answering(503)])
def test_a_server_that_comes_back_is_waited_for(error: Exception, pauses: list[float]) -> None:
    errors = [error] * 4

    def call() -> str:
        if errors:
            raise errors.pop()
        return "answer"

    assert patiently(call) == "answer"
    assert pauses == [0.5, 1.0, 2.0, 4.0]


def test_one_that_stays_away_is_not_waited_for_without_end(pauses: list[float]) -> None:
    def call() -> None:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unavailable, match="has been away for 60 seconds: ConnectError"):
        patiently(call)
    assert 50 < sum(pauses) <= 60


def test_a_call_that_is_rejected_is_not_made_again(pauses: list[float]) -> None:
    def call() -> None:
        raise answering(409)

    with pytest.raises(httpx.HTTPStatusError):
        patiently(call)
    assert not pauses
