"""Builds and pushes by a Docker Engine, through its API and Docker's own SDK; no docker command is needed."""

import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import docker
import requests
from docker.errors import APIError
from docker.types import CancellableStream
from docker.utils.json_stream import json_stream

from tasks.core.build.buildkit import ALONE, Help, Progress
from tasks.core.build.engine_errors import build_error, refused
from tasks.core.build.push_progress import Layers
from tasks.core.errors import BuildFailed, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.registry.errors import push_error

Log = Callable[[str], None]
Fraction = Callable[[float], None]

CONNECT_TIMEOUT = 10

BUILT = "flowise.invalid/built"
"""What a built image is called on the engine: no registry can have this host (RFC 2606), so none is asked for it."""

PUSHED = re.compile(r"\S+: digest: (sha256:[0-9a-f]{64}) size: [0-9]+")
"""The status that ends a push. The containerd image store reports the digest there and nowhere else."""


def build(
    client: docker.APIClient,
    image: ImageSpec,
    context: Iterator[bytes],
    build_args: Mapping[str, str],
    *,
    timeout: float,
    log: Log,
    progress: Fraction = lambda _: None,
    helped: Help = ALONE,
) -> str:
    """Build with BuildKit and return the image's id in the engine (``sha256:...``).

    Args:
        client: the engine.
        image: what to build.
        context: the build context, a tar stream.
        build_args: values of the Dockerfile's ``ARG``.
        timeout: seconds the build may take.
        log: is called with the lines of progress, as they come.
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
            "platform": image.platform,
            "rm": "1",
            **helped.params(build_args),
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


@contextmanager
def without_cache(client: docker.APIClient, image: ImageSpec, built: str, timeout: float) -> Iterator[str]:
    """The image that the same build makes without ``keep``; ``built`` itself stays at hand until the block ends.

    What an image keeps for other builds is never twice the same, and its digest would not be, either: a commit that
    is built again would be another image, which an immutable tag does not take. BuildKit drops it from a base image.

    Raises:
        BuildFailed, Unavailable: as :func:`build`.
    """
    if (client.inspect_image(built).get("Config") or {}).get("OnBuild"):  # type: ignore[no-untyped-call]
        yield built  # which would be executed here
        return
    name, tag = BUILT, built.removeprefix("sha256:")
    client.tag(built, name, tag)
    spec = ImageSpec(name=image.name, dockerfile="Dockerfile", platform=image.platform)
    try:
        yield build(client, spec, _dockerfile(f"FROM {name}:{tag}\n"), {}, timeout=timeout, log=lambda _: None)
    finally:
        with suppress(APIError, requests.RequestException):  # another build's, which had the same result
            client.remove_image(f"{name}:{tag}", noprune=True)


def _dockerfile(text: str) -> Iterator[bytes]:
    entry = tarfile.TarInfo("Dockerfile")
    entry.size = len(text)
    yield entry.tobuf(tarfile.GNU_FORMAT) + text.encode().ljust(tarfile.BLOCKSIZE, b"\0") + bytes(1024)


def push(
    client: docker.APIClient,
    built: str,
    reference: str,
    tag: str,
    auth: Mapping[str, str] | None,
    log: Log,
    progress: Fraction = lambda _: None,
) -> str:
    """Push an image of the engine and return the digest it has in the registry.

    Args:
        client: the engine.
        built: id of the image in the engine.
        reference: ``registry/repository``.
        tag: the tag to push it under.
        auth: ``username`` and ``password``, or an ``identitytoken``; ``None`` to push without a login.
        log: is called with each line of progress.
        progress: is called with the fraction of the layers that are there.

    Raises:
        AccessDenied, NotFound, Conflict, Terminal, Unavailable: as the registry answers.
    """
    digest, layers = "", Layers(log, progress)
    try:
        client.tag(built, reference, tag)
        for record in client.push(reference, tag=tag, auth_config=auth or {}, stream=True, decode=True):
            if "error" in record:
                raise push_error(f"{reference}:{tag}", record["error"])
            if pushed := PUSHED.fullmatch(str(record.get("status", ""))):
                digest = pushed[1]
            layers.record(record)
    except APIError as error:
        raise push_error(f"{reference}:{tag}", str(error.explanation or error)) from None
    if not digest:
        raise Unavailable(f"The push of {reference}:{tag} ended without a digest.")
    log(f"Pushed {reference}:{tag} as {digest}")
    return digest
