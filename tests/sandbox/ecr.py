"""A stand-in for Amazon ECR: moto plays the control plane, a real registry behind a proxy the data plane.

The proxy holds images to the control plane's rules, as
https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html and .../image-tag-mutability.html
describe them: the password of user ``AWS`` is the authorization token, repositories aren't created by a push,
and an immutable tag doesn't move. What is pushed shows up in ``describe-images`` with the digest the registry
gave it. Error codes and messages are those clients report of the real one (aws/containers-roadmap#862,
osscontainertools/kaniko#204, zendesk/samson#1065).

Other than the real one: HTTP instead of HTTPS, one region, one account, a token without end, whose
``expiresAt`` moto puts into the past.
"""

import os
import re
import socket
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.sandbox.in_process import served
from tests.sandbox.processes import answers, free_port, running
from tests.sandbox.registry import Registry, registry

ACCOUNT = "123456789012"
REGION = "ap-southeast-1"
HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
"""The registry's name; give it to ``engine(workdir, hosts=[HOST])`` as well."""

_PATH = re.compile(r"^/v2/(?P<repository>.+)/(?P<kind>manifests|blobs|tags)/(?P<reference>.+)$")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "authorization"}


@dataclass(frozen=True)
class Ecr:
    """A running stand-in."""

    registry: str
    endpoint_url: str
    images: Registry
    """The real registry, asked without a login."""

    def environment(self) -> dict[str, str]:
        """What boto3 needs in order to talk to this one, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @cached_property
    def client(self) -> Any:
        """A boto3 client for it, whatever the environment says."""
        return _client(self.endpoint_url)

    def password(self) -> str:
        """The registry password of the user ``AWS``."""
        return _credentials(self.client).partition(":")[2]

    def create(self, *repositories: str, immutable: bool = False, movable: tuple[str, ...] = ()) -> None:
        """Create repositories.

        Args:
            repositories: their names.
            immutable: a tag can't be given to another image.
            movable: wildcards for the tags that can, even so.
        """
        mutability: dict[str, Any] = {"imageTagMutability": "IMMUTABLE" if immutable else "MUTABLE"}
        if immutable and movable:
            filters = [{"filterType": "WILDCARD", "filter": each} for each in movable]
            mutability = {
                "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
                "imageTagMutabilityExclusionFilters": filters,
            }
        for name in repositories:
            self.client.create_repository(repositoryName=name, **mutability)

    def empty(self) -> None:
        """Delete every repository, and its images from the registry."""
        for repository in self.client.describe_repositories()["repositories"]:
            name = repository["repositoryName"]
            for digest in filter(None, {self.images.digest(name, tag) for tag in self.images.tags(name)}):
                self.images.delete(name, digest)
            self.client.delete_repository(repositoryName=name, force=True)


@contextmanager
def ecr(workdir: Path, port: int = 0) -> Iterator[Ecr]:
    """Start the stand-in with its images below ``workdir``, and let this process know its name.

    Args:
        workdir: for its data.
        port: the registry's; a free one by default.

    Raises:
        NotInstalled: there is no registry on this machine.
        SandboxError: a part doesn't start.
    """
    with (
        registry(workdir) as images,
        _moto(workdir) as endpoint,
        served(_proxy(endpoint, images), port=port) as url,
        resolving(HOST),
    ):
        yield Ecr(f"{HOST}:{httpx.URL(url).port}", endpoint, images)


@contextmanager
def resolving(name: str) -> Iterator[None]:
    """Make ``name`` mean 127.0.0.1 in this process, and in no other."""
    original = socket.getaddrinfo

    def patched(host: Any, *args: Any, **options: Any) -> Any:
        return original("127.0.0.1" if host in (name, name.encode()) else host, *args, **options)

    socket.getaddrinfo = patched
    try:
        yield
    finally:
        socket.getaddrinfo = original


@contextmanager
def _moto(workdir: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    with running(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        log=workdir / "moto.log",
        ready=lambda: answers(f"{url}/moto-api/data.json"),
        env=os.environ | {"MOTO_ACCOUNT_ID": ACCOUNT},
    ):
        yield url


def _client(endpoint: str) -> Any:
    session = boto3.session.Session("testing", "testing", region_name=REGION)
    return session.client("ecr", endpoint_url=endpoint)


def _credentials(control: Any) -> str:
    data = control.get_authorization_token()["authorizationData"][0]
    return b64decode(data["authorizationToken"]).decode()


def _proxy(endpoint: str, images: Registry) -> Starlette:
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    route = Route("/v2/{path:path}", _DataPlane(endpoint, images).answer, methods=methods)
    return Starlette(routes=[route], lifespan=_lifespan)


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as upstream:
        yield {"upstream": upstream}


class _DataPlane:
    """Between Docker and the real registry: asks the control plane first, and tells it afterwards."""

    def __init__(self, endpoint: str, images: Registry) -> None:
        self._control = _client(endpoint)
        self._images = images

    async def answer(self, request: Request) -> Response:
        """Refuse as ECR does, or pass the request on."""
        match = _PATH.match(request.url.path)
        refused = await run_in_threadpool(self._refused, request, match)
        if refused:
            return refused
        if match and match["kind"] == "manifests" and request.method == "PUT":
            return await run_in_threadpool(self._put, request, match, await request.body())
        return await self._pass_on(request)

    def _refused(self, request: Request, match: re.Match[str] | None) -> Response | None:
        if _basic(request) != _credentials(self._control):
            challenge = f'Basic realm="https://{HOST}/",service="ecr.amazonaws.com"'
            return PlainTextResponse("Not Authorized\n", 401, {"WWW-Authenticate": challenge})
        if match and self._repository(match["repository"]) is None:
            message = f"The repository with name '{match['repository']}' does not exist in the registry with id"
            return _error(404, "NAME_UNKNOWN", f"{message} '{ACCOUNT}'")
        return None

    def _put(self, request: Request, match: re.Match[str], manifest: bytes) -> Response:
        name, reference = match["repository"], match["reference"]
        if self._immovable(name, reference, manifest):
            message = f"The image tag '{reference}' already exists in the '{name}' repository"
            return _error(400, "TAG_INVALID", f"{message} and cannot be overwritten because the tag is immutable.")
        answer = httpx.put(self._url(request), content=manifest, headers=_kept(request.headers), trust_env=False)
        if answer.is_success:
            self._record(name, reference, manifest, request.headers["content-type"])
        return Response(answer.content, answer.status_code, _kept(answer.headers))

    def _immovable(self, name: str, reference: str, manifest: bytes) -> bool:
        """Whether the reference is a tag that means something else and has to go on doing so."""
        repository = self._repository(name) or {}
        movable = [each["filter"] for each in repository.get("imageTagMutabilityExclusionFilters", ())]
        if repository.get("imageTagMutability") not in ("IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"):
            return False
        if any(fnmatchcase(reference, each) for each in movable):
            return False
        return self._images.digest(name, reference) not in (None, _digest(manifest))

    def _record(self, name: str, reference: str, manifest: bytes, media_type: str) -> None:
        tag = {} if reference.startswith("sha256:") else {"imageTag": reference}
        with suppress(self._control.exceptions.ImageAlreadyExistsException):
            self._control.put_image(
                repositoryName=name,
                imageManifest=manifest.decode(),
                imageManifestMediaType=media_type,
                imageDigest=_digest(manifest),
                **tag,
            )

    def _repository(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(self._control.describe_repositories(repositoryNames=[name])["repositories"][0])
        except self._control.exceptions.RepositoryNotFoundException:
            return None

    async def _pass_on(self, request: Request) -> Response:
        body = request.stream() if request.method in ("POST", "PUT", "PATCH") else None
        client = request.state.upstream
        onward = client.build_request(request.method, self._url(request), headers=_kept(request.headers), content=body)
        answer = await client.send(onward, stream=True)
        return StreamingResponse(_relay(answer), answer.status_code, _kept(answer.headers))

    def _url(self, request: Request) -> str:
        return f"{self._images.url}{request.url.path}?{request.url.query}"


async def _relay(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


def _basic(request: Request) -> str | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        return b64decode(value, validate=True).decode() if kind.lower() == "basic" else None
    except ValueError:
        return None


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that go through; ``Host`` is among them, as the registry makes its links from it."""
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}


def _digest(manifest: bytes) -> str:
    return f"sha256:{sha256(manifest).hexdigest()}"


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"errors": [{"code": code, "message": message}]}, status)
