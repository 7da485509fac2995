"""A BuildKit session: the connection over which a build asks its client for the logins of registries.

BuildKit takes them from nowhere else; the X-Registry-Config header is the older builder's. On this connection the
engine is the client and we are the server: gRPC over HTTP/2, of which two small calls are needed.
"""

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import docker
import requests
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from h2.exceptions import ProtocolError

from tasks.core.build.engine_errors import refused
from tasks.core.build.protobuf import field, fields
from tasks.core.errors import DeliveryError
from tasks.core.registry.docker_config import IDENTITY

Login = Callable[[str], tuple[str, str] | None]
"""User and password for a registry's host; ``None`` if no login is needed."""

CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
UNIMPLEMENTED = "12"
CONNECT_TIMEOUT = 10
CHUNK = 1 << 16
PREFIX = 5
"""Bytes before each gRPC message: whether it is compressed, and its length."""


@contextmanager
def session(client: docker.APIClient, login: Login) -> Iterator[str]:
    """Open a session and yield its id, for ``docker_engine.build``; with the block it ends.

    Raises:
        InvalidInput, Unavailable: the engine opens no session.
    """
    name = uuid.uuid4().hex
    with _upgraded(client, name) as response:
        if response.status_code != requests.codes.switching_protocols:
            raise refused("The Docker Engine opened no BuildKit session", response)
        stream: Any = response.raw._fp.fp  # type: ignore[union-attr]  # holds what came right after the headers
        connection = stream.raw._sock
        answering = threading.Thread(target=_serve, args=(stream, connection, login), daemon=True)
        answering.start()
        try:
            yield name
        finally:
            with contextlib.suppress(OSError):  # the engine may have gone first
                connection.shutdown(socket.SHUT_RDWR)
            answering.join()


def _upgraded(client: docker.APIClient, name: str) -> requests.Response:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "h2c",
        "X-Docker-Expose-Session-Uuid": name,
        "X-Docker-Expose-Session-Name": "flowise-delivery",
        "X-Docker-Expose-Session-Sharedkey": "",
        "X-Docker-Expose-Session-Grpc-Method": CREDENTIALS,
    }
    url = f"{client.base_url}/v{client.api_version}/session"
    return client.post(url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, None))


def _serve(stream: Any, connection: socket.socket, login: Login) -> None:  # noqa: ANN401 - http.client's own reader
    answers = Answers(login)
    with contextlib.suppress(OSError, ValueError, ProtocolError):  # the connection's end, from either side
        connection.sendall(answers.greeting())
        while data := stream.read1(CHUNK):
            connection.sendall(answers.to(data))


class Answers:
    """What we say on a session: HTTP/2 in, HTTP/2 out.

    Args:
        login: asked for each registry that the engine wants to log in to.
    """

    def __init__(self, login: Login) -> None:
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._login = login
        self._calls: dict[int, tuple[str, bytearray]] = {}

    def greeting(self) -> bytes:
        """Return what a server says first."""
        self._http.initiate_connection()
        return self._http.data_to_send()

    def to(self, data: bytes) -> bytes:
        """Return what to say to this.

        Raises:
            ProtocolError: it is no HTTP/2.
        """
        for event in self._http.receive_data(data):
            self._take(event)
        return self._http.data_to_send()

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            headers: dict[Any, Any] = dict(event.headers)  # of text, as the configuration says
            self._calls[event.stream_id] = (headers[":path"], bytearray())
        elif isinstance(event, DataReceived):
            self._calls[event.stream_id][1].extend(event.data)
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self._answer(event.stream_id, *self._calls.pop(event.stream_id))

    def _answer(self, stream: int, path: str, request: bytearray) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        if path not in (CREDENTIALS, HEALTH):
            self._http.send_headers(stream, [*headers, ("grpc-status", UNIMPLEMENTED)], end_stream=True)
            return
        message = SERVING if path == HEALTH else self._credentials(bytes(request[PREFIX:]))
        self._http.send_headers(stream, headers)
        self._http.send_data(stream, b"\0" + len(message).to_bytes(4) + message)
        self._http.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def _credentials(self, request: bytes) -> bytes:
        # auth.proto: CredentialsRequest {host=1}, CredentialsResponse {username=1 secret=2}
        host = next((value.decode() for number, value in fields(request) if number == 1), "")
        try:
            user, secret = self._login(host) or ("", "")
        except DeliveryError:  # the registry will report it if this login is needed
            return b""
        named = field(1, user.encode()) if user != IDENTITY else b""  # an identity token belongs to nobody
        return named + field(2, secret.encode()) if secret else b""
