"""Slots of Prefect's global concurrency limits, on a real server that goes away while they are held."""

import threading
from contextlib import ExitStack
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.runtime import concurrency
from tasks.runtime.concurrency import one_build_of
from tests.sandbox.prefect_server import PrefectServer
from tests.sandbox.processes import free_port
from tests.sandbox.until import until

INPUTS = "inputs-1-0a1b2c3d"
LIMIT = "slot-build-slots-test-0"


@pytest.fixture
def taken(server: PrefectServer) -> UUID:
    """The only slot, which somebody else has."""
    with one_build_of("slots-test", INPUTS):
        pass  # makes the limit
    with get_client(sync_client=True) as client:
        lease = client.increment_concurrency_slots_with_lease([LIMIT], 1, "concurrency", 60).json()["lease_id"]
    return UUID(lease)


def active(server: PrefectServer) -> int:
    found = httpx.get(f"{server.api_url}/v2/concurrency_limits/{LIMIT}", trust_env=False)
    return found.raise_for_status().json()["active_slots"]


def free_all(server: PrefectServer) -> None:
    httpx.patch(f"{server.api_url}/v2/concurrency_limits/{LIMIT}", json={"active_slots": 0}, trust_env=False)


def test_who_waits_says_for_what_and_since_when(
    server: PrefectServer, taken: UUID, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "SAY_AGAIN", 0.0)
    got_it = threading.Event()

    def wait() -> None:
        with temporary_settings({PREFECT_API_URL: server.api_url}), one_build_of("slots-test", INPUTS):
            got_it.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    until(lambda: f"Waiting for the slot of {LIMIT} since " in caplog.text)
    assert not got_it.is_set()
    with get_client(sync_client=True) as client:
        client.release_concurrency_slots_with_lease(taken)
    waiting.join(60)
    assert got_it.is_set()
    assert f"Got the slot of {LIMIT}" in caplog.text
    assert active(server) == 0


def test_a_server_that_is_away_at_the_end_fails_nothing(
    server: PrefectServer, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as away, one_build_of("slots-test", INPUTS):
        away.enter_context(temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}))
    assert f"The slot of {LIMIT} isn't given back (ConnectError)" in caplog.text
    assert active(server) == 1, "until its lease ends"
    free_all(server)


def test_a_lease_is_renewed_and_one_that_is_lost_does_not_end_the_work(
    server: PrefectServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(concurrency, "RENEW", 0.1)
    renew, renewed = SyncPrefectClient.renew_concurrency_lease, []

    def counted(client: SyncPrefectClient, lease: UUID, seconds: float) -> httpx.Response:
        renewed.append((renew(client, lease, seconds).status_code, seconds))

    monkeypatch.setattr(SyncPrefectClient, "renew_concurrency_lease", counted)
    with one_build_of("slots-test", INPUTS):
        until(lambda: len(renewed) > 1)
        assert set(renewed) == {(204, 60)}
        monkeypatch.setattr(concurrency, "get_client", lambda **_: away())
        until(lambda: f"The slot of {LIMIT} isn't renewed (ConnectError)" in caplog.text)
        monkeypatch.undo()
    assert active(server) == 0


def away() -> None:
    raise httpx.ConnectError("refused")
