"""Small HTTP servers inside this process: uvicorn in a thread, on 127.0.0.1."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.sandbox.processes import SandboxError

_START_SECONDS = 10
# Docker tries TLS first, which uvicorn would warn about; an application's own headers stay as they are.
_OPTIONS: dict[str, Any] = {
    "log_config": None,
    "log_level": "error",
    "server_header": False,
    "date_header": False,
    "timeout_graceful_shutdown": 2,
}


@contextmanager
def served(app: ASGIApp, *, port: int = 0, certificate: Path | None = None) -> Iterator[str]:
    """Serve an ASGI application and yield its URL; ``port`` 0 takes a free one, a certificate with its key HTTPS.

    Raises:
        SandboxError: it didn't start.
    """
    with socket.create_server(("127.0.0.1", port)) as listener:
        # Inherited by each connection: an answer in two parts would else wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = uvicorn.Server(uvicorn.Config(app, ssl_certfile=certificate, **_OPTIONS))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            _wait(server, thread)
            yield f"http{'s' if certificate else ''}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _wait(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise SandboxError("An HTTP server inside this process didn't start.")
        time.sleep(0.005)
