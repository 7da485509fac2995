"""Calls to Prefect's server that outlast its restart: Prefect's clients repeat only those it is too busy for."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

from tasks.core.errors import Unavailable

PATIENCE = 60.0
"""Seconds for a server that is away; a restart takes about twenty."""

LONGEST_PAUSE = 5.0

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """Make a call, again and again while the server can't be reached or fails.

    Raises:
        Unavailable: it is away for longer than ``PATIENCE``.
        httpx.HTTPStatusError: it rejects the call.
    """
    until, pause = 0.0, 0.5
    while True:
        try:
            return call()
        except httpx.HTTPError as error:
            if not is_away(error):
                raise
            until = until or time.monotonic() + PATIENCE
            if time.monotonic() + pause > until:
                raise Unavailable(
                    f"Prefect's server has been away for {PATIENCE:g} seconds: {type(error).__name__}.",
                    "Check that the server of PREFECT_API_URL is up.",
                ) from None
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def is_away(error: httpx.HTTPError) -> bool:
    """Whether an error says that the server can't be reached or fails, not that it rejects the call."""
    return (
        not isinstance(error, httpx.HTTPStatusError) or error.response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    )
