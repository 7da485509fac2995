"""Connections that send no request are ended: of a real uvicorn server in this process."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from flows import webhook_connections
from flows.webhook_connections import idle_connections_ended

HALF = b"POST / HTTP/1.1\r\nX: "


async def ended_after(port: int, request: bytes) -> float:
    """Send something and wait until the server has ended the connection."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return time.monotonic() - started


@asynccontextmanager
async def limited() -> AsyncIterator[int]:
    """A server's port, whose slow answers take a second and a half."""
    app = FastAPI()

    @app.get("/")
    async def slow() -> str:
        await asyncio.sleep(1.5)
        return "late"

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        before = signal.signal(signal.SIGTERM, server.handle_exit)  # as uvicorn does in the main thread
        serving = asyncio.create_task(server._serve([listener]))
        try:
            with idle_connections_ended():
                yield listener.getsockname()[1]
        finally:
            signal.signal(signal.SIGTERM, before)
            server.should_exit = True
            await serving


def test_a_request_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_connections, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(webhook_connections, "CHECK_SECONDS", 0.05)

    async def scene() -> None:
        async with limited() as port, httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/"))
            after_another = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n" + HALF
            took = await asyncio.gather(*(ended_after(port, sent) for sent in (HALF, b"", after_another)))
            assert all(0.4 < each < 5 for each in took), took
            assert (await answer).json() == "late", "a request that is being answered is no idle connection"

    asyncio.run(scene())


def test_of_too_many_the_one_that_is_idle_for_longest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_connections, "MOST_IDLE", 1)
    monkeypatch.setattr(webhook_connections, "CHECK_SECONDS", 0.05)

    async def scene() -> None:
        async with limited() as port:
            first = asyncio.create_task(ended_after(port, HALF))
            await asyncio.sleep(0.3)
            second = asyncio.create_task(ended_after(port, HALF))
            done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
            assert done == {first}
            second.cancel()

    asyncio.run(scene())
