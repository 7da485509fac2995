"""A Docker Engine behind ``ssh://``, reached as the docker command does: each connection is an ``ssh`` process.

The SDK's own way wants paramiko, which reads neither all of ``~/.ssh/config`` nor every kind of key, and can't open a
BuildKit session. Here ``ssh`` gets one end of a socket as its input and output.
"""

import socket
import subprocess
import tempfile
import urllib.parse
from collections.abc import Callable
from typing import Any

from docker.transport import UnixHTTPAdapter
from docker.transport.unixconn import UnixHTTPConnection, UnixHTTPConnectionPool

from tasks.core.errors import InvalidInput
from tasks.core.system import process

Dial = Callable[[socket.socket], "subprocess.Popen[bytes]"]


def ssh_command(host: str) -> list[str]:
    """Return the command that connects its input and output with the engine of ``ssh://[user@]host[:port][/socket]``.

    Raises:
        InvalidInput: that isn't such an address.
    """
    try:
        address = urllib.parse.urlsplit(host)
        port = address.port
    except ValueError:
        address, port = urllib.parse.SplitResult("", "", "", "", ""), None
    if not address.hostname or address.password or address.query or address.fragment:
        raise InvalidInput(f"DOCKER_HOST {host!r:.100} is not an engine's address.", "Give ssh://user@host:port.")
    user = ["-l", address.username] if address.username else []
    at_port = ["-p", str(port)] if port else []
    engine = ["--host", f"unix://{address.path}"] if address.path.strip("/") else []
    options = ["-o", "ConnectTimeout=30", "-o", "BatchMode=yes", "-T"]
    return ["ssh", *user, *at_port, *options, "--", address.hostname, "docker", *engine, "system", "dial-stdio"]


class SSHAdapter(UnixHTTPAdapter):
    """Connections through ``ssh`` for the SDK's client."""

    def __init__(self, host: str, timeout: int) -> None:
        self._command, self._errors = ssh_command(host), tempfile.TemporaryFile()  # noqa: SIM115 - ours
        super().__init__("http+unix:///ssh", timeout)

    def said(self) -> str:
        """Return what ``ssh`` and the docker command over there printed as errors last."""
        self._errors.seek(0)
        return " ".join(self._errors.read()[-500:].decode(errors="replace").split())

    def get_connection(self, url: str, proxies: Any = None) -> "_Pool":  # type: ignore[override]  # noqa: ANN401
        """Return the pool of connections."""
        with self.pools.lock:
            if not (pool := self.pools.get(url)):
                pool = self.pools[url] = _Pool(str(url), self._dial, self.timeout, self.max_pool_size)
            return pool

    def _dial(self, connection: socket.socket) -> "subprocess.Popen[bytes]":
        return process.attach(self._command, connection, env=process.clean_environment(), stderr=self._errors.fileno())


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, url: str, dial: Dial, timeout: int, size: int) -> None:
        super().__init__(url, "", timeout, size)
        self._dial, self._silence = dial, timeout

    def _new_conn(self) -> "_Connection":  # type: ignore[override]  # as the class it is derived from
        return _Connection(self.base_url, self._dial, self._silence)


class _Connection(UnixHTTPConnection):
    def __init__(self, url: str, dial: Dial, timeout: int) -> None:
        super().__init__(url, "", timeout)
        self._dial = dial

    def connect(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(self.timeout)
        with theirs:
            self._child = self._dial(theirs)

    def close(self) -> None:
        super().close()
        if child := self.__dict__.pop("_child", None):
            process.end(child)
