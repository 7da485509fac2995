"""Calls to Prefect's server that outlast its restart: Prefect's clients repeat only those it is too busy for."""

import time
from collections.abc import Callable
from json import JSONDecodeError
from typing import TypeVar

import httpx
from prefect.settings import PREFECT_API_AUTH_STRING

from tasks.core.errors import AccessDenied, Unavailable
from tasks.core.system import interruption
from tasks.core.system.http import within

PATIENCE = 60.0
"""Seconds for a server that is away; a restart takes about twenty."""

LONGEST_CALL = 90.0
"""Seconds for one call: the client's own limit is for each step of it, and each byte of an answer may be a step."""

LONGEST_PAUSE = 5.0

DENIED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)

T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """Make a call, again and again while the server can't be reached, fails, or a proxy's page answers in its place.

    Raises:
        Unavailable: it is away for longer than ``PATIENCE``.
        AccessDenied: it rejects the credentials.
        httpx.HTTPStatusError: it rejects the call.
    """
    until, pause = 0.0, 0.5
    while True:
        try:
            return within(LONGEST_CALL, call)
        except (httpx.HTTPError, JSONDecodeError, TimeoutError) as error:
            if not is_away(error):
                _explain(error)
                raise
            until = until or time.monotonic() + PATIENCE
            if time.monotonic() + pause > until:
                raise Unavailable(
                    f"Prefect's server has been away for {PATIENCE:g} seconds: {_words(error)}.",
                    "Check that PREFECT_API_URL is the address of its API, and that it is up.",
                ) from None
        interruption.pause(pause, "Waiting for Prefect's server")
        pause = min(pause * 2, LONGEST_PAUSE)


def password() -> str:
    """Return the API's password, as ``user:password``; empty if it has none."""
    return PREFECT_API_AUTH_STRING.value() or ""


def is_away(error: Exception) -> bool:
    """Tell whether an error says that the server can't be reached, is busy or fails, not that it rejects the call."""
    if not isinstance(error, httpx.HTTPStatusError):
        return True
    status = error.response.status_code
    return status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR


def _explain(error: Exception) -> None:
    """Raise what has a meaning of its own."""
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code in DENIED:
        raise AccessDenied(
            f"Prefect's server rejects the credentials: {error.response.status_code}.",
            "Check PREFECT_API_KEY or PREFECT_API_AUTH_STRING where this runs.",
        ) from None


def _words(error: Exception) -> str:
    if isinstance(error, JSONDecodeError):
        return "what answers isn't Prefect's API"
    if isinstance(error, (TimeoutError, httpx.TimeoutException)):
        return "no answer in time"
    return f"{error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
