"""A stand-in for GitHub: the few REST calls a delivery makes, and real git over HTTP.

Follows https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event (204; 422 for more than
ten top-level keys or a longer ``event_type``), .../rest/commits/commits#get-a-commit, and
.../rest/using-the-rest-api/troubleshooting-the-rest-api (401 for a wrong token, 404 rather than 403 for what a
token may not see). Git is the real ``git http-backend`` over bare repositories.

Other than the real one: a REST answer has only the fields used here, there are no rate limits but those a test
asks for (``failures``), and a dispatch starts nothing by itself.
"""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from tests.sandbox import repositories
from tests.sandbox.git_http import GitAnswer
from tests.sandbox.github_changes import Changes
from tests.sandbox.in_process import served

MAX_EVENT_TYPE = 100
MAX_KEYS = 10
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Dispatch:
    """A ``repository_dispatch`` that was taken."""

    repository: str
    event_type: str
    client_payload: dict[str, Any]


@dataclass
class Served:
    """One request that was answered, and how many bytes of body went each way."""

    method: str
    path: str
    status: int = 0
    received: int = 0
    sent: int = 0


@dataclass
class GitHub:
    """A running stand-in."""

    repositories: dict[str, Path]
    token: str
    read_token: str
    anonymous_read: bool
    url: str = ""
    dispatches: list[Dispatch] = field(default_factory=list)
    requests: list[Served] = field(default_factory=list)
    failures: list[Response] = field(default_factory=list)
    """Answers for the next REST calls, taken from the front: outages and rate limits."""
    changes: Changes = field(init=False)
    """Pull requests, statuses, deployments."""

    def clone_url(self, repository: str) -> str:
        """Where git finds a repository; it holds no credentials."""
        return f"{self.url}/{repository}.git"

    def may(self, token: str | None, *, write: bool) -> bool:
        """Whether a token is enough to read or to write."""
        if token is None:
            return self.anonymous_read and not write
        return token == self.token or (token == self.read_token and not write)

    def knows(self, token: str | None) -> bool:
        """Whether a token is one of ours, or there is none."""
        return token in (None, self.token, self.read_token)


@contextmanager
def github(
    bare: Mapping[str, Path],
    *,
    token: str = "sandbox-token",
    read_token: str = "sandbox-read-token",
    anonymous_read: bool = False,
    port: int = 0,
) -> Iterator[GitHub]:
    """Start the stand-in.

    Args:
        bare: bare repositories by ``owner/name``.
        token: may read, push and dispatch.
        read_token: may only read.
        anonymous_read: whether fetching and reading need no token, as with public repositories.
        port: where it listens on 127.0.0.1; a free port by default.
    """
    hub = GitHub(dict(bare), token, read_token, anonymous_read)
    with served(_counted(hub, _application(hub)), port=port) as url:
        hub.url = url
        yield hub


def _application(hub: GitHub) -> Starlette:
    rest, git = _Rest(hub), _Git(hub)
    hub.changes = Changes(lambda name: hub.repositories[name], lambda: hub.url, rest.may_not_write)
    return Starlette(
        routes=[
            Route("/repos/{owner}/{name}", rest.repository),
            Route("/repos/{owner}/{name}/commits/{ref:path}", rest.commit),
            Route("/repos/{owner}/{name}/dispatches", rest.dispatch, methods=["POST"]),
            *hub.changes.routes(),
            Route("/{owner}/{name}.git/{rest:path}", git.answer, methods=["GET", "POST"]),
            Route("/{path:path}", rest.unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]
    )


def _counted(hub: GitHub, app: Starlette) -> Any:
    """The application with every request written to ``hub.requests``."""

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        served = Served(scope["method"], scope["path"])
        hub.requests.append(served)

        async def receive_counted() -> Message:
            message = await receive()
            served.received += len(message.get("body", b""))
            return message

        async def send_counted(message: Message) -> None:
            served.status = message.get("status", served.status)
            served.sent += len(message.get("body", b""))
            await send(message)

        return await app(scope, receive_counted, send_counted)

    return counting


class _Rest:
    """The REST API. Each answer says what the documentation says, in its words where it gives any."""

    def __init__(self, hub: GitHub) -> None:
        self._hub = hub

    async def unknown(self, request: Request) -> Response:
        """Nothing else is here."""
        return self._failure() or _error(404, "Not Found")

    async def repository(self, request: Request) -> Response:
        """Answer what PyGithub's ``get_repo`` asks."""
        name = _full_name(request)
        return self._failure() or self._refused(request, write=False) or JSONResponse(self._describe(name))

    async def commit(self, request: Request) -> Response:
        """Resolve a branch, tag or commit."""
        refused = self._failure() or self._refused(request, write=False)
        if refused:
            return refused
        ref = request.path_params["ref"]
        found = await run_in_threadpool(_commit, self._hub.repositories[_full_name(request)], ref)
        if not found:
            return _error(422, f"No commit found for SHA: {ref}")
        if request.headers.get("accept", "").endswith("sha"):
            return PlainTextResponse(found["sha"])
        return JSONResponse({**found, "url": f"{self._hub.url}/repos/{_full_name(request)}/commits/{found['sha']}"})

    async def dispatch(self, request: Request) -> Response:
        """Take a ``repository_dispatch``."""
        refused = self.may_not_write(request)
        if refused:
            return refused
        body = await request.body()
        try:
            sent = json.loads(body)
        except ValueError:
            return _error(400, "Problems parsing JSON")
        problem = _problem(sent, len(body))
        if problem:
            return _error(422, f"Invalid request.\n\n{problem}")
        taken = Dispatch(_full_name(request), sent["event_type"], sent.get("client_payload", {}))
        self._hub.dispatches.append(taken)
        return Response(status_code=204)

    def may_not_write(self, request: Request) -> Response | None:
        """The answer to a request that may not write; nothing where it may."""
        return self._failure() or self._refused(request, write=True)

    def _failure(self) -> Response | None:
        return self._hub.failures.pop(0) if self._hub.failures else None

    def _refused(self, request: Request, *, write: bool) -> Response | None:
        token = _token(request)
        if not self._hub.knows(token):
            return _error(401, "Bad credentials")
        if token is None and write:
            return _error(401, "Requires authentication")
        if not self._hub.may(token, write=write) or _full_name(request) not in self._hub.repositories:
            return _error(404, "Not Found")
        return None

    def _describe(self, name: str) -> dict[str, Any]:
        owner, _, short = name.partition("/")
        return {
            "id": list(self._hub.repositories).index(name) + 1,
            "name": short,
            "full_name": name,
            "owner": {"login": owner, "type": "User"},
            "private": not self._hub.anonymous_read,
            "default_branch": "main",
            "url": f"{self._hub.url}/repos/{name}",
            "html_url": f"{self._hub.url}/{name}",
            "clone_url": self._hub.clone_url(name),
        }


class _Git:
    """Git's smart HTTP protocol; a token is the password of any user."""

    def __init__(self, hub: GitHub) -> None:
        self._hub = hub

    async def answer(self, request: Request) -> Response:
        """Check the password, then let ``git http-backend`` answer."""
        write = "git-receive-pack" in (request.query_params.get("service"), request.path_params["rest"])
        token = _token(request)
        if not self._hub.knows(token) or (token is None and not self._hub.may(None, write=write)):
            challenge = {"WWW-Authenticate": 'Basic realm="GitHub"'}
            return PlainTextResponse("Invalid username or password.\n", 401, challenge)
        if _full_name(request) not in self._hub.repositories:
            return PlainTextResponse("Repository not found.\n", 404)
        if not self._hub.may(token, write=write):
            return PlainTextResponse("Write access to repository not granted.\n", 403)
        bare = self._hub.repositories[_full_name(request)]
        return GitAnswer(request, bare, "/" + request.path_params["rest"])


def _full_name(request: Request) -> str:
    return f"{request.path_params['owner']}/{request.path_params['name']}"


def _token(request: Request) -> str | None:
    """The token of an ``Authorization`` header: Bearer, GitHub's own "token", or Basic's password."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return value.strip() or None
    try:
        return b64decode(value, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _problem(sent: Any, size: int) -> str | None:
    """What is wrong with a dispatch, by the documented limits."""
    if not isinstance(sent, dict) or not isinstance(sent.get("event_type"), str):
        return '"event_type" wasn\'t supplied.'
    payload = sent.get("client_payload", {})
    if not isinstance(payload, dict):
        return f"For 'properties/client_payload', {json.dumps(payload)} is not an object."
    if not 0 < len(sent["event_type"]) <= MAX_EVENT_TYPE:
        return f"event_type has {len(sent['event_type'])} characters; it may have 1 to {MAX_EVENT_TYPE}."
    if len(payload) > MAX_KEYS:
        return f"No more than {MAX_KEYS} properties are allowed; {len(payload)} were supplied."
    return "client_payload is too large." if size >= MAX_BYTES else None


def _commit(bare: Path, ref: str) -> dict[str, Any] | None:
    try:
        sha = repositories.git(bare, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except AssertionError:
        return None
    newest = repositories.log(bare, sha.decode().strip())[0]
    message = "\n\n".join(filter(None, (newest["subject"], newest["body"].strip())))
    person, _, email = newest["author"].rstrip(">").partition(" <")
    return {
        "sha": newest["sha"],
        "commit": {"message": message, "author": {"name": person, "email": email}},
        "author": None,
        "parents": [],
    }


def _error(status: int, message: str) -> Response:
    about = {"documentation_url": "https://docs.github.com/rest", "status": str(status)}
    return JSONResponse({"message": message, **about}, status)
