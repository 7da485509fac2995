"""A proxy before a registry that has a bad day when it is told to."""

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.sandbox.registry import Registry


@dataclass
class Fault:
    """What happens to the next ``times`` requests of a method whose path contains ``path``.

    ``status`` 0 means that the connection is reset in the middle of the request's body.
    """

    method: str
    path: str
    status: int = 0
    code: str = "UNKNOWN"
    message: str = ""
    times: int = 1


@dataclass
class Faulty:
    """A running proxy; ``seen`` are the methods and paths of the requests that came through."""

    host: str
    faults: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    struck: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if there is one."""
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and fault.path in path:
                    fault.times -= 1
                    self.struck += 1
                    return fault
            self.seen.append((method, path))
        return None


@contextmanager
def faulty(registry: Registry) -> Iterator[Faulty]:
    """Start a proxy before this registry."""

    class Handler(_Handler):
        upstream = registry.host

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Handler.proxy = Faulty(f"127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Handler.proxy
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = default_request_version = (
        "HTTP/1.1"  # a TLS greeting, too, gets a status line, as from Go's servers
    )
    upstream: str
    proxy: Faulty

    def _serve(self) -> None:
        fault = self.proxy.strike(self.command, self.path)
        if fault and not fault.status:
            self._reset()
            return
        body = self._body()
        if fault:
            self._refuse(fault)
        else:
            self._pass_on(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _reset(self) -> None:
        if self.headers.get("Content-Length") != "0":
            self.rfile.read1(1024)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _refuse(self, fault: Fault) -> None:
        content = json.dumps({"errors": [{"code": fault.code, "message": fault.message}]}).encode()
        self._answer(fault.status, {"Content-Type": "application/json"}, content)

    def _pass_on(self, body: bytes) -> None:
        onward = http.client.HTTPConnection(self.upstream, timeout=60)
        kept = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
        onward.request(self.command, self.path, body or None, kept | {"Content-Length": str(len(body))})
        answer = onward.getresponse()
        self._answer(answer.status, dict(answer.headers), answer.read())
        onward.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        named = {name.title(): value for name, value in headers.items()}
        if self.command != "HEAD":
            named["Content-Length"] = str(len(content))
        for name, value in named.items():
            if name not in ("Transfer-Encoding", "Connection"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_: object) -> None:
        """Nothing is said."""
