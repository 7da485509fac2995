"""A Prefect server that is busy for a moment costs a moment."""

import asyncio
import time
from collections.abc import Callable

import pytest
from fastapi import FastAPI, Response
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

import flows  # noqa: F401 - which says so to Prefect's clients
from tests.sandbox.in_process import served


async def ask() -> int:
    async with get_client() as client:
        return (await client.request("GET", "/flows/count")).status_code


def ask_sync() -> int:
    with get_client(sync_client=True) as client:
        return client.request("GET", "/flows/count").status_code


@pytest.mark.parametrize("asking", [ask_sync, lambda: asyncio.run(ask())], ids=["sync", "async"])
def test_a_busy_server_is_asked_again_soon(asking: Callable[[], int]) -> None:
    answers, api = [503, 503, 200], FastAPI()

    @api.get("/api/flows/count")
    def count() -> Response:
        return Response("1", answers.pop(0))

    with served(api) as url, temporary_settings({PREFECT_API_URL: f"{url}/api"}):
        started = time.monotonic()
        assert asking() == 200
    assert time.monotonic() - started < 4, "Prefect by itself waits 2 and 4 seconds, or somewhat less or more"
    assert answers == []
