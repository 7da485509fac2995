"""Endpoints that keep what they are told: the other side of a webhook, and of the services that people use."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.sandbox.certificate import self_signed
from tests.sandbox.in_process import served

SERVICES = {
    "hooks.slack.com": "/services/AAAAAAAAA/BBBBBBBBB/{secret}",
    "teams.example.com": "/workflows/1/triggers/manual/paths/invoke?api-version=2016-06-01&sp=run&sv=1.0&sig={secret}",
    "discord.com": "/api/webhooks/1234567890/{secret}",
    "api.sendgrid.com": "",
}
"""Where services take a notification, by host; the path is that of an address which people copy from the service."""


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


@dataclass
class Services:
    """Stand-ins of chat and mail services: what each host was sent, and the environment in which it is reached."""

    environment: dict[str, str]
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def about(self, host: str, text: str) -> list[dict[str, Any]]:
        """Return the messages to this host that hold a text."""
        return [said for to, said in self.received if to == host and text in json.dumps(said, ensure_ascii=False)]


def address(host: str, secret: str) -> str:
    """Return a service's address with a secret part, as people copy it."""
    return f"https://{host}{SERVICES[host].format(secret=secret)}"


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Stand in for the services under their own names: Prefect's blocks have these built in.

    A process reaches them by a proxy, as behind a company's firewall, and trusts their certificate; nothing leaves the
    machine, since the proxy leads here alone.
    """

    async def take(request: Request) -> Response:
        host = request.headers["host"].partition(":")[0]
        kept.received.append((host, await request.json()))
        return Response("ok", status_code=202 if host == "api.sendgrid.com" else 200)

    certificate = self_signed(folder, *SERVICES)
    app = Starlette(routes=[Route("/{path:path}", take, methods=["POST"])])
    with ExitStack() as parts:
        port = int(parts.enter_context(served(app, certificate=certificate)).rpartition(":")[2])
        proxy = parts.enter_context(_proxy(port))
        own = {"HTTPS_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost", "REQUESTS_CA_BUNDLE": str(certificate)}
        kept = Services(own)
        yield kept


@contextmanager
def _proxy(port: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            if self.path.partition(":")[0] not in SERVICES:
                self.send_error(403)
                return
            with socket.create_connection(("127.0.0.1", port)) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_relay, args=(there, self.connection), daemon=True)
                back.start()
                _relay(self.connection, there)
                back.join()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
