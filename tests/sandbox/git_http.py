"""Git over HTTP: the real ``git http-backend``, a CGI program, behind an ASGI request."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.sandbox.repositories import git_environment

_CHUNK = 1 << 16

# What GitHub allows as well: pushes, partial clones, and fetching a commit by its id.
_CONFIG = {
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "safe.directory": "*",
}


class GitAnswer(Response):
    """The answer to one request of git's, passed on while git is still reading the request."""

    def __init__(self, request: Request, bare: Path, path: str) -> None:
        """Get ready; git starts when the answer is sent.

        Args:
            request: as git sent it.
            bare: the repository.
            path: the part of the URL behind the repository, such as ``/info/refs``.
        """
        super().__init__()
        self._request = request
        self._bare = bare
        self._environment = _environment(request, bare, path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Not a StreamingResponse: that one listens for a disconnect, and would swallow what git sends."""
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=PIPE,
            stdout=PIPE,
            cwd=self._bare,
            env=self._environment,
            start_new_session=True,
        )
        assert process.stdin
        assert process.stdout
        feeding = asyncio.create_task(_feed(self._request, process, process.stdin))
        try:
            await _pass_on(process.stdout, send)
        finally:
            feeding.cancel()
            _kill(process)
            await process.wait()


def _environment(request: Request, bare: Path, path: str) -> dict[str, str]:
    """The CGI variables, but for CONTENT_LENGTH: with it git spins forever when a body ends early."""
    sent = request.headers
    cgi = {
        "GIT_PROJECT_ROOT": str(bare.resolve()),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.url.query,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": sent.get("content-type", ""),
        "HTTP_CONTENT_ENCODING": sent.get("content-encoding", ""),
        "HTTP_GIT_PROTOCOL": sent.get("git-protocol", ""),
    }
    return git_environment() | cgi | _config()


def _config() -> dict[str, str]:
    pairs = {"GIT_CONFIG_COUNT": str(len(_CONFIG))}
    for number, (key, value) in enumerate(_CONFIG.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return pairs


async def _feed(request: Request, process: Process, stdin: asyncio.StreamWriter) -> None:
    try:
        async for chunk in request.stream():
            stdin.write(chunk)
            await stdin.drain()
        stdin.close()
    except ClientDisconnect:
        _kill(process)  # half a push must not look like a whole one
    except ConnectionError:
        pass  # git has seen enough, and hung up


async def _pass_on(output: asyncio.StreamReader, send: Send) -> None:
    status, headers = await _head(output)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    while chunk := await output.read(_CHUNK):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _head(output: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Read the CGI header: lines until an empty one, the status among them unless it is 200."""
    status, headers = 200, []
    while line := (await output.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return status, headers


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
