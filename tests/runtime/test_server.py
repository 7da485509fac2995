"""Calls to Prefect's server while it is away."""

import threading
from json import JSONDecodeError

import httpx
import pytest

from tasks.core.errors import AccessDenied, Unavailable
from tasks.core.system import interruption
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
        @staticmethod
        def monotonic() -> float:
            return 1000 + sum(waited)

    monkeypatch.setattr(server, "time", Clock)
    monkeypatch.setattr(interruption, "pause", lambda seconds, _: waited.append(seconds))
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


@pytest.mark.parametrize(
    "error", [answering(429), JSONDecodeError("Expecting value", "<html>", 0), TimeoutError()], ids=repr
)
def test_what_is_no_answer_is_waited_for_too(error: Exception, pauses: list[float]) -> None:
    """It is busy for longer than Prefect's client tries, a proxy's page answers, or the answer never ends."""
    errors = [error]

    def call() -> str:
        if errors:
            raise errors.pop()
        return "answer"

    assert patiently(call) == "answer"
    assert pauses == [0.5]


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LONGEST_CALL", 0.05)
    monkeypatch.setattr(server, "PATIENCE", 0.1)
    ended = threading.Event()
    with pytest.raises(Unavailable, match=r"away for 0\.1 seconds: no answer in time"):
        patiently(lambda: ended.wait(30))
    ended.set()


@pytest.mark.parametrize("status", [401, 403])
def test_rejected_credentials_are_said_at_once(status: int, pauses: list[float]) -> None:
    def call() -> None:
        raise answering(status)

    with pytest.raises(AccessDenied, match=f"rejects the credentials: {status}"):
        patiently(call)
    assert not pauses


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
