"""What is said on a BuildKit session, with h2's own client on the other end; the engine itself is in other tests."""

from collections.abc import Callable

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, TrailersReceived

from tasks.core.build.buildkit_session import Answers, session
from tasks.core.build.connection import connect
from tasks.core.errors import AccessDenied

AUTH = "/moby.filesync.v1.Auth/"
Login = Callable[[str], tuple[str, str] | None]


def ask(login: Login, path: str, message: bytes) -> tuple[bytes, str]:
    """One gRPC call: the answer's message, and its status."""
    answers, client = Answers(login), H2Connection()
    client.initiate_connection()
    client.receive_data(answers.greeting())
    pseudo = {":method": "POST", ":scheme": "http", ":authority": "engine", ":path": path}
    client.send_headers(1, [*pseudo.items(), ("content-type", "application/grpc")])
    client.send_data(1, b"\0" + len(message).to_bytes(4) + message, end_stream=True)
    said, status = b"", ""
    for event in client.receive_data(answers.to(client.data_to_send())):
        if isinstance(event, DataReceived):
            said += event.data
        elif isinstance(event, ResponseReceived | TrailersReceived):
            status = dict(event.headers).get(b"grpc-status", b"").decode() or status
    return said[5:], status


def test_a_login() -> None:
    known = {"registry:5000": ("me", "secret" * 50)}
    answer = ask(known.get, f"{AUTH}Credentials", b"\x0a\x0dregistry:5000")
    assert answer == (b"\x0a\x02me\x12\xac\x02" + b"secret" * 50, "0")
    assert ask(known.get, f"{AUTH}Credentials", b"\x0a\x05other") == (b"", "0")


def test_a_login_that_cannot_be_read_is_none() -> None:
    def broken(host: str) -> None:
        raise AccessDenied(f"no login for {host}")

    assert ask(broken, f"{AUTH}Credentials", b"\x0a\x05other") == (b"", "0")


def test_other_calls() -> None:
    assert ask({}.get, "/grpc.health.v1.Health/Check", b"") == (b"\x08\x01", "0")
    assert ask({}.get, f"{AUTH}GetTokenAuthority", b"\x0a\x01x") == (b"", "12")


def test_a_session_ends_with_its_block(docker_host: str) -> None:
    with connect(5) as engine:
        with session(engine, {}.get) as first, session(engine, {}.get) as second:
            assert first != second
        with pytest.raises(KeyError), session(engine, {}.get):
            raise KeyError
