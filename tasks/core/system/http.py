"""An HTTP answer that is whole within a time limit; httpx's own limit is for each step of it."""

import time
from typing import Any

import httpx

LARGEST = 64 * 1024 * 1024
"""Bytes of an answer that are read; Argo CD's for an application with thousands of resources has a few million."""


def request(client: httpx.Client, method: str, url: httpx.URL | str, seconds: float, **options: Any) -> httpx.Response:  # noqa: ANN401
    """Ask, and read the answer to its end.

    Args:
        client: whom to ask with.
        method: HTTP's.
        url: what to ask for.
        seconds: for each step up to the answer's first byte, and for all of its body.
        options: more of ``httpx.Client.request``.

    Raises:
        httpx.HTTPError: there is no such answer in time.
    """
    with client.stream(method, url, timeout=seconds, **options) as answer:
        end, body = time.monotonic() + seconds, bytearray()
        for piece in answer.iter_raw():
            body += piece
            if time.monotonic() > end or len(body) > LARGEST:
                raise httpx.ReadTimeout(f"the answer was not whole after {seconds:g} seconds and {len(body)} bytes")
    return httpx.Response(answer.status_code, headers=answer.headers, content=bytes(body), request=answer.request)
