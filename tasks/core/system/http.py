"""One deadline for a whole HTTP exchange; HTTP libraries limit each step of it, and each byte may be a step."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import httpx

from tasks.core.errors import Terminal
from tasks.core.system import interruption

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer that are read; Argo CD's for an application with thousands of resources has a few million."""

WAITING = "Waiting for another machine"

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """Do something that may wait for another machine, and stop waiting for it at the deadline.

    It is done in a thread of its own: neither a name server nor a header that comes byte by byte can be given up in any
    other way. A thread that is left behind ends with its connection, and doesn't keep the process alive.

    Raises:
        TimeoutError: it wasn't done in time.
        Terminal: the run has ended.
    """
    interruption.check(WAITING)
    done: Future[T] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # the run has ended meanwhile
            try:
                done.set_result(work())
            except BaseException as error:  # raised again where it is waited for
                done.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), name="exchange", daemon=True).start()
    with interruption.ended_by(partial(done.set_exception, Terminal(f"{WAITING} was stopped, because its run was."))):
        return done.result(seconds)


def request_with_deadline(
    client: httpx.Client,
    method: str,
    url: httpx.URL | str,
    seconds: float,
    largest: int = LARGEST,
    **options: Any,  # noqa: ANN401 - httpx's own
) -> httpx.Response:
    """Send a request, and read the answer to its end.

    Args:
        client: whom to send it with.
        method: HTTP's.
        url: what to ask for.
        seconds: for all of it: name server, connection, headers and body.
        largest: bytes of the answer, unpacked, that are read.
        options: more of ``httpx.Client.stream``.

    Raises:
        httpx.HTTPError: there is no such answer in time.
    """

    def exchange() -> httpx.Response:
        # A second more for each step, so that the deadline is what ends the wait.
        with client.stream(method, url, timeout=seconds + 1, **options) as answer:
            body = bytearray()
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > largest or given_up.is_set():
                    raise httpx.ReadError(f"the answer has more than {largest} bytes")
        headers = [(name, value) for name, value in answer.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=bytes(body), request=answer.request)

    url, given_up = httpx.URL(url), threading.Event()
    try:
        return within(seconds, exchange)
    except httpx.InvalidURL as error:  # httpx looks at where a redirect leads even if it doesn't follow it
        raise httpx.RemoteProtocolError(f"the answer redirects to no URL: {error}") from None
    except TimeoutError:
        raise httpx.ReadTimeout(f"timed out: the answer was not complete after {seconds:g} seconds") from None
    finally:
        given_up.set()
