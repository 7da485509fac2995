"""How this process's clients talk to the Prefect server: again soon where it is busy, and with one TLS context.

A server on SQLite answers 503 when two of its writers meet, and is free again within milliseconds. Prefect's client
then waits two seconds, unless the answer has a ``Retry-After``, and most runs met this once or more (4 of 5 subflows,
each second build of two at once). On PostgreSQL it does not happen.

A run makes a dozen clients, in threads that its own work waits for; to read the certificates again for each took
0.4 s of a cold one.
"""

import ssl
from collections.abc import Callable
from functools import cache, partialmethod
from pathlib import Path
from typing import Any

import certifi
import httpx
from prefect.client.base import PrefectHttpxAsyncClient, PrefectHttpxSyncClient
from prefect.client.orchestration import PrefectClient, SyncPrefectClient
from prefect.settings import get_current_settings

WAITS = (0.02, 0.2, 1.0, 8.0, 32.0)
"""Seconds before each new try; a server that is away for longer is given about as long as before."""


def retry_soon() -> None:
    """From here on, have this process's calls to a busy Prefect server repeated soon."""
    # Prefect makes its clients in many places, and hands on httpx's settings in few of them.
    PrefectHttpxSyncClient.__init__ = partialmethod(PrefectHttpxSyncClient.__init__, event_hooks={"response": [_say]})
    PrefectHttpxAsyncClient.__init__ = partialmethod(
        PrefectHttpxAsyncClient.__init__, event_hooks={"response": [_say_async]}
    )


def share_certificates() -> None:
    """From here on, have this process's clients of the Prefect server share what they know of certificates."""
    for client in (PrefectClient, SyncPrefectClient):
        client.__init__ = partialmethod(_init, client.__init__)


def _init(
    client: object,
    init: Callable[..., None],
    *arguments: object,
    httpx_settings: dict[str, Any] | None = None,
    **options: object,
) -> None:
    api = get_current_settings().api
    if not api.tls_insecure_skip_verify:  # whose context Prefect alters
        file = Path(api.ssl_cert_file or certifi.where())
        httpx_settings = {"verify": _certificates(file, file.stat().st_mtime_ns), **(httpx_settings or {})}
    init(client, *arguments, httpx_settings=httpx_settings, **options)


@cache
def _certificates(file: Path, changed: int) -> ssl.SSLContext:  # one of another time is read anew
    return ssl.create_default_context(cafile=file)


def _say(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        tries = response.request.extensions["tries"] = response.request.extensions.get("tries", 0) + 1
        response.headers.setdefault("Retry-After", str(WAITS[min(tries, len(WAITS)) - 1]))


async def _say_async(response: httpx.Response) -> None:
    _say(response)
