"""A Prefect server on SQLite answers 503 when two of its writers meet, and is free again within milliseconds.

Prefect's client then waits two seconds, unless the answer has a ``Retry-After``, and most runs met this once or more
(4 of 5 subflows, each second build of two at once). On PostgreSQL it does not happen.
"""

from functools import partialmethod

import httpx
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient

WAITS = (0.05, 0.2, 1.0, 8.0, 32.0)
"""Seconds before each new try; a server that is away for longer is given about as long as before."""


def retry_soon() -> None:
    """From here on, have this process's calls to a busy Prefect server repeated soon."""
    # Prefect makes its clients in many places, and hands on httpx's settings in few of them.
    PrefectHttpxSyncClient.__init__ = partialmethod(PrefectHttpxSyncClient.__init__, event_hooks={"response": [_say]})
    PrefectHttpxAsyncClient.__init__ = partialmethod(
        PrefectHttpxAsyncClient.__init__, event_hooks={"response": [_say_async]}
    )


def _say(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        tries = response.request.extensions["tries"] = response.request.extensions.get("tries", 0) + 1
        response.headers.setdefault("Retry-After", str(WAITS[min(tries, len(WAITS)) - 1]))


async def _say_async(response: httpx.Response) -> None:
    _say(response)
