"""How long and how many connections may do nothing: uvicorn has no limit for headers that never end."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from prefect.logging import get_logger

IDLE_SECONDS, MOST_IDLE = 10, 200
"""GitHub gives a delivery ten seconds in all."""

CHECK_SECONDS = 0.5


@contextmanager
def idle_connections_ended() -> Iterator[None]:
    """Until the block ends, close connections that send no request for ``IDLE_SECONDS``, and the oldest of too many."""
    # uvicorn tells an application nothing of its server; in the main thread, it takes the signals.
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if not isinstance(server, uvicorn.Server):
        get_logger("webhook").info("Not served by uvicorn itself: limits for connections are left to the server")
        yield
        return
    ending = asyncio.get_running_loop().create_task(end_idle(server))
    try:
        yield
    finally:
        ending.cancel()


async def end_idle(server: uvicorn.Server) -> None:
    """Look at a server's connections again and again."""
    idle: dict[Any, float] = {}
    while True:
        now = time.monotonic()
        idle = {each: idle.get(each, now) for each in server.server_state.connections if _is_idle(each)}
        longest_first = sorted(idle, key=lambda each: idle[each])
        too_many = len(idle) - MOST_IDLE
        for number, each in enumerate(longest_first):
            if number < too_many or now - idle[each] >= IDLE_SECONDS:
                each.transport.close()
        await asyncio.sleep(CHECK_SECONDS)


def _is_idle(connection: Any) -> bool:  # noqa: ANN401 - uvicorn's protocols have no common class
    return connection.cycle is None or connection.cycle.response_complete
