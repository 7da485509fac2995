"""Debian's docker command with buildx, and BuildKit behind mTLS as a remote builder has it."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.sandbox.engine import ROOTS
from tests.sandbox.processes import NotInstalled

SUITE = ROOTS / "sid"
UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


@contextmanager
def docker_command(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a folder with the docker command, for the PATH, and one with its configuration, which knows buildx.

    Raises:
        NotInstalled: there is none on this machine.
    """
    docker, plugins = SUITE / "usr/bin/docker", SUITE / "usr/libexec/docker/cli-plugins"
    if not (docker.exists() and (plugins / "docker-buildx").exists()):
        raise NotInstalled(f"There is no docker command with buildx in {SUITE}: run tests/sandbox/parts.sh tests.")
    programs, config = folder / "programs", folder / "docker-config"
    programs.mkdir(parents=True)
    config.mkdir()
    (programs / "docker").symlink_to(docker)
    (config / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(plugins)]}))
    yield programs, config


@contextmanager
def buildkitd(engine: str, certificate: Path) -> Iterator[str]:
    """The BuildKit that is in an engine, at an address of its own that takes nobody without this certificate.

    A stand-in for buildkitd, which Debian doesn't have: what answers is BuildKit itself, by its gRPC API.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server, context, engine), daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, context: ssl.SSLContext, engine: str) -> None:
    with suppress(OSError):  # it is closed
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_connect, args=(connection, context, engine), daemon=True).start()


def _connect(plain: socket.socket, context: ssl.SSLContext, engine: str) -> None:
    with (
        suppress(OSError),
        context.wrap_socket(plain, server_side=True) as client,
        socket.socket(socket.AF_UNIX) as behind,
    ):
        behind.connect(engine.removeprefix("unix://"))
        behind.sendall(UPGRADE)
        said = b""
        while b"\r\n\r\n" not in said:
            said += behind.recv(1)
        back = threading.Thread(target=_pump, args=(behind, client), daemon=True)
        back.start()
        _pump(client, behind)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
