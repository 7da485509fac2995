"""Builds and pushes by a Docker Engine, through its API and Docker's own SDK; no docker command is needed."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, StreamParseError
from docker.types import CancellableStream
from docker.utils import kwargs_from_env
from docker.utils.json_stream import json_stream

from tasks.core.buildkit import Progress
from tasks.core.engine_errors import build_error, refused
from tasks.core.errors import BuildFailed, Unavailable
from tasks.core.layers import Layers
from tasks.core.models import ImageSpec
from tasks.core.registry_errors import push_error

Log = Callable[[str], None]
Fraction = Callable[[float], None]

CONNECT_TIMEOUT = 10


@dataclass(frozen=True)
class Help:
    """What a build may take from elsewhere.

    ``cache_from`` is an image whose layers are used where they fit; every image built here carries what is needed
    for that (BuildKit's inline cache). It knows the layers it has itself, and so those of the last stage of its
    Dockerfile alone: stages before it are skipped where all that follows is unchanged, and are otherwise built.
    The cache that knows all stages (``mode=max``) is buildx's, and not the engine's.

    ``session`` is the id of the BuildKit session that has the logins for this, and for private base images.
    """

    cache_from: str = ""
    session: str = ""

    def params(self) -> dict[str, str]:
        """The parameters of the engine's call."""
        cache = {"cachefrom": json.dumps([self.cache_from])} if self.cache_from else {}
        return cache | ({"session": self.session} if self.session else {})


@contextmanager
def engine(timeout: int) -> Iterator[docker.APIClient]:
    """The engine that ``DOCKER_HOST`` names, the local one by default; ``timeout`` bounds each of its silences.

    Raises:
        Unavailable: no engine answers there, or it stopped answering.
    """
    try:
        client = docker.APIClient(version="auto", timeout=timeout, **kwargs_from_env())
    except DockerException as error:
        raise Unavailable(
            f"No Docker Engine answers: {error}.",
            "Start it, or set DOCKER_HOST to one that this user may use.",
        ) from None
    try:
        yield client
    except (requests.RequestException, urllib3.exceptions.HTTPError, StreamParseError) as error:
        raise Unavailable(f"The Docker Engine stopped answering: {error}.", "Was it restarted?") from None
    finally:
        client.close()


def build(
    client: docker.APIClient,
    image: ImageSpec,
    context: Iterator[bytes],
    build_args: Mapping[str, str],
    *,
    timeout: float,
    log: Log,
    progress: Fraction = lambda _: None,
    helped: Help = Help(),
) -> str:
    """Build with BuildKit and return the image's id in the engine (``sha256:...``).

    Args:
        client: the engine.
        image: what to build.
        context: the build context, a tar stream.
        build_args: values of the Dockerfile's ``ARG``.
        timeout: seconds the build may take.
        log: is called with each line of progress.
        progress: is called with the fraction of the steps that are done.
        helped: what the build may take from elsewhere.

    Raises:
        BuildFailed: the Dockerfile's build failed or took too long; ends with the build's last lines.
        Unavailable: the engine, or a registry the Dockerfile uses, failed.
    """
    told, started, built = Progress(log, progress), time.monotonic(), ""
    with _building(client, image, context, build_args, timeout, helped) as records:
        for record in records:
            if "error" in record:
                raise build_error(image, record["error"], told.failed)
            if record.get("id") == "moby.buildkit.trace":
                told.record(record["aux"])
            elif record.get("id") == "moby.image.id":
                built = record["aux"]["ID"]
    if built:
        return str(built)
    if time.monotonic() - started >= timeout:
        raise BuildFailed(f"The build of {image.name} took longer than {timeout:g} seconds.", "See BUILD_TIMEOUT.")
    raise Unavailable(f"The Docker Engine ended the build of {image.name} without a result.", "Was it restarted?")


@contextmanager
def _building(
    client: docker.APIClient,
    image: ImageSpec,
    context: Iterator[bytes],
    build_args: Mapping[str, str],
    timeout: float,
    helped: Help,
) -> Iterator[Iterable[dict[str, Any]]]:
    """The engine's records of a build, which ends with the block, by itself, or when its time is over."""
    # The SDK's own build() has no way to ask for BuildKit (docker-py issue 2230): hence the call by hand.
    started = time.monotonic()
    response = client.post(
        f"{client.base_url}/v{client.api_version}/build",
        params={
            "version": "2",
            "dockerfile": image.dockerfile,
            "buildargs": json.dumps({**build_args, "BUILDKIT_INLINE_CACHE": "1"}),
            "platform": image.platform,
            "rm": "1",
            **helped.params(),
        },
        headers={"Content-Type": "application/x-tar"},
        data=context,
        stream=True,
        timeout=(CONNECT_TIMEOUT, timeout),
    )
    with response:
        if response.status_code != requests.codes.ok:
            raise refused(f"The Docker Engine refused to build {image.name}", response)
        records: Any = CancellableStream(json_stream(response.iter_content(chunk_size=None)), response)
        # The engine stops a build when the connection ends, but the one who waits for a silent build cannot end it.
        deadline = threading.Timer(max(0.0, started + timeout - time.monotonic()), records.close)
        deadline.start()
        try:
            yield records
        finally:
            deadline.cancel()


def push(
    client: docker.APIClient,
    built: str,
    reference: str,
    tag: str,
    auth: dict[str, str] | None,
    log: Log,
    progress: Fraction = lambda _: None,
) -> str:
    """Push an image of the engine and return the digest it has in the registry.

    Args:
        client: the engine.
        built: id of the image in the engine.
        reference: ``registry/repository``.
        tag: the tag to push it under.
        auth: ``username`` and ``password``; ``None`` to use what ``docker login`` left.
        log: is called with each line of progress.
        progress: is called with the fraction of the layers that are there.

    Raises:
        AccessDenied, NotFound, Conflict, Terminal, Unavailable: as the registry answers.
    """
    digest, layers = "", Layers(log, progress)
    try:
        client.tag(built, reference, tag)
        for record in client.push(reference, tag=tag, auth_config=auth, stream=True, decode=True):
            if "error" in record:
                raise push_error(f"{reference}:{tag}", record["error"])
            digest = record.get("aux", {}).get("Digest", digest)
            layers.record(record)
    except APIError as error:
        raise push_error(f"{reference}:{tag}", str(error.explanation or error)) from None
    if not digest:
        raise Unavailable(f"The push of {reference}:{tag} ended without a digest.")
    log(f"Pushed {reference}:{tag} as {digest}")
    return digest
