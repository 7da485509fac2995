"""A flow gives a sign of life, and its end does not wait for it."""

import threading
import time

import httpx
import pytest
from prefect import flow
from prefect.runtime import flow_run

import flows  # noqa: F401 - which says so to Prefect's engine
from tests.sandbox.prefect_server import PrefectServer

EVENT = "prefect.flow-run.heartbeat"


@flow
def whoever() -> str:
    """Answer the run's own id."""
    return str(flow_run.id)


def heard(server: PrefectServer, run: str) -> list[dict]:
    resource = {"id": [f"prefect.flow-run.{run}"]}
    asked = {"filter": {"event": {"name": [EVENT]}, "resource": resource}}
    return httpx.post(f"{server.api_url}/events/filter", json=asked, trust_env=False).json()["events"]


def test_the_end_of_a_flow_does_not_wait_for_its_heartbeat(
    server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, join = [], threading.Thread.join
    monkeypatch.setattr(
        threading.Thread, "join", lambda thread, timeout=None: [waits.append(timeout), join(thread, timeout)]
    )
    run = whoever()
    assert 2 not in waits, "seconds at the most, by prefect.flow_engine"
    deadline = time.monotonic() + 30
    while not heard(server, run):
        assert time.monotonic() < deadline
        time.sleep(0.2)
