"""Git over HTTP: the real ``git http-backend``, a CGI program, behind an ASGI request."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.sandbox.repositories import git_environment

_CHUNK = 1 << 16

# What GitHub allows as well: pushes, partial clones, and fetching a commit by its id.
_CONFIG = {
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "safe.directory": "*",
}


async def git_response(request: Request, bare: Path, path: str) -> Response:
    """Answer one request of git's, without holding its body or its answer in memory.

    Args:
        request: as git sent it.
        bare: the repository.
        path: the part of the URL behind the repository, such as ``/info/refs``.
    """
    process = await asyncio.create_subprocess_exec(
        "git", "http-backend", stdin=PIPE, stdout=PIPE, env=_environment(request, bare, path)
    )
    feeding = asyncio.create_task(_feed(request, process))
    try:
        status, headers = await _head(process)
    except BaseException:
        await _end(process, feeding)
        raise
    return StreamingResponse(_body(process, feeding), status, headers)


def _environment(request: Request, bare: Path, path: str) -> dict[str, str]:
    """The CGI variables; without a length, as with chunks, git reads until the end."""
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
    if "content-length" in sent:
        cgi["CONTENT_LENGTH"] = sent["content-length"]
    return git_environment() | cgi | _config()


def _config() -> dict[str, str]:
    pairs = {"GIT_CONFIG_COUNT": str(len(_CONFIG))}
    for number, (key, value) in enumerate(_CONFIG.items()):
        pairs |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return pairs


async def _feed(request: Request, process: Process) -> None:
    # Git may have seen enough before the end of the body, and hang up.
    with suppress(ConnectionError):
        async for chunk in request.stream():
            process.stdin.write(chunk)
            await process.stdin.drain()
    process.stdin.close()


async def _head(process: Process) -> tuple[int, dict[str, str]]:
    """Read the CGI header: lines until an empty one, the status among them unless it is 200."""
    headers = {}
    while line := (await process.stdout.readline()).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    return int(headers.pop("status", "200").split()[0]), headers


async def _body(process: Process, feeding: asyncio.Task[None]) -> AsyncIterator[bytes]:
    try:
        while chunk := await process.stdout.read(_CHUNK):
            yield chunk
    finally:
        await _end(process, feeding)


async def _end(process: Process, feeding: asyncio.Task[None]) -> None:
    feeding.cancel()
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
