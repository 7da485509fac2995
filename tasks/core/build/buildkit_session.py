"""A BuildKit session: the connection over which a build asks its client for logins, and for folders.

BuildKit takes the logins of registries from nowhere else; the X-Registry-Config header is the older builder's. On this
connection the engine is the client and we are the server: gRPC over HTTP/2, of which three calls are needed.
"""

import contextlib
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus

import docker
import requests
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError
from urllib3 import HTTPHeaderDict

from tasks.core.build.engine_errors import refused
from tasks.core.build.protobuf import field, fields
from tasks.core.build.session_files import DIFF_COPY, Folder, Transfer
from tasks.core.errors import DeliveryError
from tasks.core.registry.docker_config import IDENTITY

Login = Callable[[str], tuple[str, str] | None]
"""User and password for a registry's host; ``None`` if no login is needed."""

CREDENTIALS = "/moby.filesync.v1.Auth/Credentials"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
NOT_FOUND, UNIMPLEMENTED = "5", "12"
GRPC = ((":status", "200"), ("content-type", "application/grpc"))
CONNECT_TIMEOUT = 10
CHUNK = 1 << 16
PREFIX = 5
"""Bytes before each gRPC message: whether it is compressed, and its length."""


@contextmanager
def session(client: docker.APIClient, login: Login, folders: Mapping[str, Folder] | None = None) -> Iterator[str]:
    """Open a session and yield its id, for ``docker_engine.build``; with the block it ends.

    Args:
        client: the engine.
        login: asked for each registry that the engine wants to log in to.
        folders: what the engine may read, by the names that it has for them.

    Raises:
        InvalidInput, Unavailable: the engine opens no session.
    """
    name = uuid.uuid4().hex
    with _upgraded(client, name) as response:
        if response.status_code != requests.codes.switching_protocols:
            raise refused("The Docker Engine opened no BuildKit session", response)
        stream: Any = response.raw._fp.fp  # type: ignore[union-attr]  # holds what came right after the headers
        connection = stream.raw._sock
        answering = threading.Thread(target=_serve, args=(stream, connection, Answers(login, folders)), daemon=True)
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
    }
    url = f"{client.base_url}/v{client.api_version}/session"
    request = client.prepare_request(requests.Request("POST", url, headers=headers))
    repeated = HTTPHeaderDict(request.headers)
    for method in (CREDENTIALS, DIFF_COPY):  # one header each
        repeated.add("X-Docker-Expose-Session-Grpc-Method", method)
    request.headers = repeated  # type: ignore[assignment]  # requests' own has no repeated ones
    return client.send(request, stream=True, timeout=(CONNECT_TIMEOUT, None))


def _serve(stream: Any, connection: socket.socket, answers: "Answers") -> None:  # noqa: ANN401 - http.client's reader
    with contextlib.suppress(OSError, ValueError, ProtocolError):  # the connection's end, from either side
        connection.sendall(answers.greeting())
        while data := stream.read1(CHUNK):
            connection.sendall(answers.to(data))


class Answers:
    """What we say on a session: HTTP/2 in, HTTP/2 out.

    Args:
        login: asked for each registry that the engine wants to log in to.
        folders: what the engine may read.
    """

    def __init__(self, login: Login, folders: Mapping[str, Folder] | None = None) -> None:
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._login, self._folders = login, folders or {}
        self._calls: dict[int, tuple[str, bytearray]] = {}
        self._transfers: dict[int, _Sending] = {}

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
        for stream in [*self._transfers]:
            self._send(stream, self._transfers[stream])
        return self._http.data_to_send()

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            headers: list[Any] = list(event.headers)  # of text, as the configuration says
            path = dict(headers)[":path"]
            self._calls[event.stream_id] = (path, bytearray())
            if path == DIFF_COPY:
                self._open(event.stream_id, headers)
        elif isinstance(event, DataReceived):
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id not in self._calls:
                return
            received = self._calls[event.stream_id][1]
            received.extend(event.data)
            if sending := self._transfers.get(event.stream_id):
                sending.take(received)
        elif isinstance(event, StreamReset):
            self._calls.pop(event.stream_id, None)
            self._transfers.pop(event.stream_id, None)
        elif isinstance(event, StreamEnded) and event.stream_id in self._calls.keys() - self._transfers.keys():
            self._answer(event.stream_id, *self._calls.pop(event.stream_id))

    def _open(self, stream: int, headers: list[tuple[str, str]]) -> None:
        about = dict(headers)
        folder = self._folders.get(about.get("dir-name", ""))
        if folder is None:
            del self._calls[stream]
            self._http.send_headers(stream, [*GRPC, ("grpc-status", NOT_FOUND)], end_stream=True)
            return
        # The rest of what may be asked for (exclude-patterns, followpaths) means less than all, and is not needed.
        said = [value for name, value in headers if name == "include-patterns"]
        wanted = map(unquote_plus, said) if about.get("include-patterns-encoded") else said
        self._transfers[stream] = _Sending(Transfer(folder, {each.encode() for each in wanted}))
        self._http.send_headers(stream, GRPC)

    def _send(self, stream: int, sending: "_Sending") -> None:
        """Send as much as the engine takes now; it says when it takes more."""
        while size := self._http.local_flow_control_window(stream):
            if not (data := sending.next(min(size, self._http.max_outbound_frame_size))):
                break
            self._http.send_data(stream, data)
        if sending.ended:
            del self._transfers[stream]
            self._calls.pop(stream, None)
            self._http.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def _answer(self, stream: int, path: str, request: bytearray) -> None:
        if path not in (CREDENTIALS, HEALTH):
            self._http.send_headers(stream, [*GRPC, ("grpc-status", UNIMPLEMENTED)], end_stream=True)
            return
        message = SERVING if path == HEALTH else self._credentials(bytes(request[PREFIX:]))
        self._http.send_headers(stream, GRPC)
        self._http.send_data(stream, _framed(message))
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


class _Sending:
    """A transfer as a stream of bytes, cut as HTTP/2 wants it."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer, self._rest = transfer, bytearray()
        self._messages = transfer.messages()

    @property
    def ended(self) -> bool:
        """Whether everything is sent."""
        return self._transfer.ended and not self._rest

    def take(self, received: bytearray) -> None:
        """Take the whole messages from what was received."""
        while len(received) >= PREFIX and len(received) >= (end := PREFIX + int.from_bytes(received[1:PREFIX])):
            self._transfer.take(bytes(received[PREFIX:end]))
            del received[:end]

    def next(self, size: int) -> bytes:
        """Return the next bytes, so many at most; nothing until the engine asks for more."""
        while len(self._rest) < size:
            message = next(self._messages, None)
            if message is None:
                self._messages = self._transfer.messages()  # of what is asked for later
                break
            self._rest += _framed(message)
        data = bytes(self._rest[:size])
        del self._rest[:size]
        return data


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4) + message
