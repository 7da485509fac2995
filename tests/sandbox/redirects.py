"""A stand-in for a server that sends its clients to another one, and that other one, which keeps what it is asked."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from tests.sandbox.in_process import served


@dataclass
class Moved:
    """Two running servers; they are other hosts by name, though both are on this machine."""

    url: str = ""
    other: str = ""
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    """What the other server was asked: method, path and Authorization."""


@contextmanager
def moved(status: int, still_here: Mapping[str, object] | None = None) -> Iterator[Moved]:
    """Start both; everything at ``url`` is answered with ``status`` and the same path at ``other``.

    Args:
        status: a redirect's.
        still_here: JSON by the paths that are answered at ``url`` itself.
    """
    servers = Moved()

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        if still_here and request.url.path in still_here:
            return await JSONResponse(still_here[request.url.path])(scope, receive, send)
        location = f"{servers.other}/new{request.url.path}?{request.url.query}&secret=in-the-query"
        return await Response(status_code=status, headers={"location": location})(scope, receive, send)

    async def second(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        servers.seen.append((request.method, request.url.path, request.headers.get("authorization")))
        await PlainTextResponse("here")(scope, receive, send)

    with served(second) as other, served(first) as servers.url:
        servers.other = other.replace("127.0.0.1", "localhost")
        yield servers
