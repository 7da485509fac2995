"""An HTTP proxy before a good server that misbehaves in one way, once or always."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import urlsplit

FAULTS = ("500", "429", "403", "reset", "silence", "slow", "garbage")
"""Statuses; a connection that is reset; no answer; an answer byte by byte; an HTML page with status 200."""

PAGE = b"<html>Welcome to nginx!</html>"
LONG = 30.0

T = TypeVar("T")


class Proxy:
    """What is wrong, and for how many more requests.

    Args:
        fault: one of ``FAULTS``.
        times: how many of the requests it hits.
        hits: which ones; all of them by default.
    """

    def __init__(self, fault: str, times: float, hits: Callable[[str, str], bool] = lambda *_: True) -> None:
        self.fault, self.times, self._hits = fault, times, hits
        self.over = threading.Event()

    def strikes(self, method: str, path: str) -> str:
        """Tell the fault for this request, if there is one."""
        if self.times <= 0 or not self._hits(method, path):
            return ""
        self.times -= 1
        return self.fault


@contextmanager
def faulty(upstream: str, proxy: Proxy) -> Iterator[str]:
    """Put a proxy before a server, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.strikes(self.command, self.path)
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif fault == "silence":
                proxy.over.wait(LONG)
            elif fault == "slow":
                self._drip()
            elif fault:
                status = 200 if fault == "garbage" else int(fault)
                self._answer(status, PAGE if fault == "garbage" else b'{"code": 0, "message": "not today"}')
            else:
                self._pass_on(body)

        do_GET = do_POST = do_DELETE = _serve

        def _drip(self) -> None:
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not proxy.over.wait(0.2):
                    self.wfile.write(b"x")
            except OSError:  # whoever asked has gone
                return

        def _pass_on(self, body: bytes) -> None:
            onward = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=10)
            onward.request(self.command, self.path, body or None, dict(self.headers))
            answer = onward.getresponse()
            self._answer(answer.status, answer.read())
            onward.close()

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        proxy.over.set()
        server.shutdown()


def timed(act: Callable[[], T]) -> tuple[T, float]:
    """Do something, and tell what it said and how many seconds it took."""
    begun = time.monotonic()
    return act(), time.monotonic() - begun
