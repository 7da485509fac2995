"""An endpoint that keeps what it is told: the other side of a notification's webhook."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.sandbox.in_process import served


@dataclass
class Notifications:
    """Where it listens, and the bodies that arrived, oldest first."""

    url: str = ""
    received: list[dict[str, Any]] = field(default_factory=list)

    def about(self, text: str) -> list[dict[str, Any]]:
        """Those whose words hold ``text``."""
        return [each for each in self.received if text in each["text"]]


@contextmanager
def notifications(secret: str) -> Iterator[Notifications]:
    """Listen on 127.0.0.1, under a path with a secret part, as chat services have it."""
    kept = Notifications()

    async def take(request: Request) -> Response:
        kept.received.append(await request.json())
        return Response(status_code=204)

    with served(Starlette(routes=[Route(f"/hooks/{secret}", take, methods=["POST"])])) as url:
        kept.url = f"{url}/hooks/{secret}"
        yield kept
