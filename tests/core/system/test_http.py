"""An exchange ends with its deadline, however slowly the other side goes on."""

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import httpx
import pytest
from pydantic import SecretStr

from tasks.core.errors import DeliveryError, Unavailable
from tasks.core.gitprovider.github import GitHub
from tasks.core.registry.oci import Registry
from tasks.core.rollout.argocd import ArgoCD
from tasks.core.rollout.health import check_endpoint
from tasks.core.system.http import request_with_deadline, within

BEGIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
SLOW = {
    "no answer": b"",
    "headers": BEGIN + b"X-Filler: ",
    "body": BEGIN + b"Content-Length: 100000\r\n\r\n",
    "chunks": BEGIN + b"Transfer-Encoding: chunked\r\n\r\n",
}


@contextmanager
def dripping(begin: bytes, piece: bytes = b"1") -> Iterator[str]:
    """A server that begins each answer, and sends the rest of it byte by byte for as long as anyone listens."""
    ended = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(begin)
            while not ended.wait(0.05):
                if begin:
                    connection.sendall(piece)

    def serve(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("begin", SLOW.values(), ids=SLOW)
def test_one_deadline_for_all_of_it(begin: bytes) -> None:
    with dripping(begin) as host, httpx.Client() as client:
        started = time.monotonic()
        with pytest.raises(httpx.ReadTimeout, match=r"not complete after 0\.3 seconds"):
            request_with_deadline(client, "GET", f"http://{host}/", 0.3)
        assert 0.3 <= time.monotonic() - started < 3


def test_a_redirect_that_leads_to_no_url() -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: sha256:abc\r\nContent-Length: 0\r\n\r\n"
    told = pytest.raises(httpx.RemoteProtocolError, match="the answer redirects to no URL")
    with dripping(moved, b"") as host, httpx.Client() as client, told:
        request_with_deadline(client, "GET", f"http://{host}/", 5)


CLIENTS = {
    "registry": lambda host: Registry(host, 0.3).digest("app", "v1"),
    "Argo CD": lambda host: ArgoCD(f"http://{host}", SecretStr("t"), timeout=0.3).application("flowise-dev"),
    "endpoint": lambda host: check_endpoint(f"http://{host}", "/", 1, 0, lambda _: None, 0.3),
    "GitHub": lambda host: GitHub("acme/app", SecretStr("t"), f"http://{host}", 1).propose("a", "main", "t", "b"),
}


@pytest.mark.parametrize("ask", CLIENTS.values(), ids=CLIENTS)
def test_every_client_has_one(ask: object) -> None:
    with dripping(SLOW["headers"]) as host:
        started = time.monotonic()
        with pytest.raises(DeliveryError):
            ask(host)
        assert time.monotonic() - started < 8


def served_once(answer: bytes) -> str:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with closing(listener), listener.accept()[0] as connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def packed(content: bytes) -> bytes:
    body = gzip.compress(content)
    return BEGIN + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def test_what_is_packed_is_unpacked_once() -> None:
    with httpx.Client() as client:
        answer = request_with_deadline(client, "GET", served_once(packed(b'{"a": 1}')), 5)
    assert answer.json() == {"a": 1}


@pytest.mark.parametrize("answer", [packed(b"x" * 5000), BEGIN + b"\r\n" + b"x" * 5000], ids=["packed", "plain"])
def test_no_more_is_read_than_is_wanted(answer: bytes) -> None:
    with httpx.Client() as client, pytest.raises(httpx.ReadError, match="more than 4000 bytes"):
        request_with_deadline(client, "GET", served_once(answer), 5, largest=4000)


def test_what_goes_wrong_comes_back() -> None:
    with pytest.raises(Unavailable, match="away"):
        within(5, lambda: (_ for _ in ()).throw(Unavailable("It is away.")))
    assert within(5, lambda: "done") == "done"
