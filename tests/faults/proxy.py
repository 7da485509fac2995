"""An HTTP proxy before a good server that misbehaves in one way, once or always."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("500", "429", "403", "reset", "lost", "silence", "slow", "garbage")
"""Statuses; a connection that is reset before the request is passed on, or after it (the answer is lost); no answer; an
answer byte by byte; an HTML page with status 200."""

PAGE = b"<html>Welcome to nginx!</html>"
LONG = 30.0
OWN = ("connection", "transfer-encoding", "content-length")
"""Headers of one connection, which are not passed on."""


class Proxy:
    """What is wrong, and for how many more requests.

    Args:
        fault: one of ``FAULTS``.
        times: how many of the requests it hits.

    A row says which requests are hit (``hits``; all of them by default), and what there is in the end (``left``).
    """

    def __init__(self, fault: str, times: float) -> None:
        self.fault, self.times, self.left, self.seconds = fault, times, "", 0.0
        self.hits: Callable[[str, str], bool] = lambda method, path: True
        self.over = threading.Event()

    def strikes(self, method: str, path: str) -> str:
        """Tell the fault for this request, if there is one."""
        if self.times <= 0 or not self.hits(method, path):
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
            if fault in ("reset", "lost"):
                if fault == "lost":
                    self._onward(body)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif fault == "silence":
                proxy.over.wait(LONG)
            elif fault == "slow":
                self._drip()
            elif fault:
                status = 200 if fault == "garbage" else int(fault)
                self._answer(status, PAGE if fault == "garbage" else b'{"code": 0, "message": "not today"}')
            else:
                self._answer(*self._onward(body))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

        def _drip(self) -> None:
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not proxy.over.wait(0.2):
                    self.wfile.write(b"x")
            except OSError:  # whoever asked has gone
                return

        def _onward(self, body: bytes) -> tuple[int, bytes, Message]:
            with closing(http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=10)) as onward:
                onward.request(self.command, self.path, body or None, dict(self.headers))
                answer = onward.getresponse()
                return answer.status, answer.read(), answer.headers

        def _answer(self, status: int, content: bytes, headers: Message | None = None) -> None:
            self.send_response_only(status)
            made = {"Content-Type": "text/html" if content == PAGE else "application/json"}
            for name, value in (headers or made).items():
                if name.lower() not in OWN:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        begun = time.monotonic()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            proxy.seconds = time.monotonic() - begun
            proxy.over.set()
            server.shutdown()
