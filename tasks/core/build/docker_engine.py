"""Builds and pushes by a Docker Engine, through its API and Docker's own SDK; no docker command is needed."""

import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack

import docker
import requests
from docker.errors import APIError
from docker.types import CancellableStream
from docker.utils.json_stream import json_stream

from tasks.core.build.buildkit import ALONE, Help, Progress, Recipe
from tasks.core.build.engine_errors import build_error, refused
from tasks.core.build.push_progress import Layers
from tasks.core.errors import BuildFailed, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.registry.errors import push_error
from tasks.core.system import interruption

Log = Callable[[str], None]
Fraction = Callable[[float], None]

CONNECT_TIMEOUT = 10

DOCKERFILE = "Dockerfile"
"""What a Dockerfile is called in the session's folder of this name, wherever it is in the repository."""

PUSHED = re.compile(r"\S+: digest: (sha256:[0-9a-f]{64}) size: [0-9]+")
"""The status that ends a push. The containerd image store reports the digest there and nowhere else."""


class BuildOptions(TypedDict, total=False):
    """What a build may have.

    Args:
        progress: is called with the fraction of the steps that are done.
        helped: what the build may take from elsewhere.
        name: what the image is called on the engine; nothing by default.
        recipe: the Dockerfile, for the lines that are told, and for the progress.
    """

    progress: Fraction
    helped: Help
    name: str
    recipe: Recipe | None


def build(
    client: docker.APIClient,
    image: ImageSpec,
    context: Iterator[bytes] | None,
    build_args: Mapping[str, str],
    *,
    timeout: float,
    log: Log,
    **options: Unpack[BuildOptions],
) -> str:
    """Build with BuildKit and return the image's id in the engine (``sha256:...``).

    Args:
        client: the engine.
        image: what to build.
        context: the build context, a tar stream; ``None`` if the session has it, and the Dockerfile apart.
        build_args: values of the Dockerfile's ``ARG``.
        timeout: seconds the build may take.
        log: is called with the lines of progress, as they come.
        options: more, by name.

    Raises:
        BuildFailed: the Dockerfile's build failed or took too long; ends with the build's last lines.
        Unavailable: the engine, or a registry the Dockerfile uses, failed.
    """
    progress: Fraction = options.get("progress") or (lambda _: None)
    told, started, built = Progress(log, progress, options.get("recipe")), time.monotonic(), ""
    params = {
        "dockerfile": image.dockerfile_in_context if context else DOCKERFILE,
        "platform": image.platform,
        "target": image.target,
        **options.get("helped", ALONE).params(build_args),
    }
    if name := options.get("name"):
        params["t"] = name
    if context is None:
        params["remote"] = "client-session"
    interruption.check(f"The build of {image.name}")
    with _building(client, image.name, context, params, timeout) as records:
        for record in records:
            if "error" in record:
                failed = told.failed
                raise build_error(image, record["error"], failed, told.line_of(failed) if failed else 0)
            if record.get("id") == "moby.buildkit.trace":
                told.record(record["aux"])
            elif record.get("id") == "moby.image.id":
                built = record["aux"]["ID"]
    interruption.check(f"The build of {image.name}")
    if built:
        progress(1)
        return str(built)
    if time.monotonic() - started >= timeout:
        raise BuildFailed(f"The build of {image.name} took longer than {timeout:g} seconds.", "See BUILD_TIMEOUT.")
    raise Unavailable(f"The Docker Engine ended the build of {image.name} without a result.", "Was it restarted?")


@contextmanager
def _building(
    client: docker.APIClient, image: str, context: Iterator[bytes] | None, params: Mapping[str, str], timeout: float
) -> Iterator[Iterable[dict[str, Any]]]:
    """Yield the engine's records of a build, which ends with the block, by itself, or when its time is over."""
    # The SDK's own build() has no way to ask for BuildKit (docker-py issue 2230): hence the call by hand.
    started = time.monotonic()
    response = client.post(
        f"{client.base_url}/v{client.api_version}/build",
        params={"version": "2", "rm": "1", **params},
        headers={"Content-Type": "application/x-tar"},
        data=context,
        stream=True,
        timeout=(CONNECT_TIMEOUT, timeout),
    )
    with response:
        if response.status_code != requests.codes.ok:
            raise refused(f"The Docker Engine refused to build {image}", response)
        records: Any = CancellableStream(json_stream(response.iter_content(chunk_size=None)), response)
        # The engine stops a build when the connection ends, but the one who waits for a silent build cannot end it.
        deadline = threading.Timer(max(0.0, started + timeout - time.monotonic()), records.close)
        deadline.start()
        try:
            with interruption.ended_by(records.close):
                yield records
        finally:
            deadline.cancel()


def without_cache(client: docker.APIClient, image: ImageSpec, name: str, timeout: float) -> str:
    """Build what the same build makes without ``keep`` from the image of this name; return its id.

    It is called ``NAME-released`` on the engine.

    What an image keeps for other builds is never twice the same, and its digest would not be, either: a commit that
    is built again would be another image, which an immutable tag does not take. BuildKit drops it from a base image.

    Raises:
        BuildFailed, Unavailable: as :func:`build`.
    """
    built = client.inspect_image(name)  # type: ignore[no-untyped-call]
    if (built.get("Config") or {}).get("OnBuild"):
        return str(built["Id"])  # a build on top of it would execute that
    spec = ImageSpec(name=image.name, dockerfile="Dockerfile", platform=image.platform)
    dockerfile = _dockerfile(f"FROM {name}\n")
    return build(client, spec, dockerfile, {}, timeout=timeout, log=lambda _: None, name=f"{name}-released")


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
    layers: Layers,
) -> str:
    """Push an image of the engine and return the digest it has in the registry.

    Args:
        client: the engine.
        built: id of the image in the engine.
        reference: ``registry/repository``.
        tag: the tag to push it under.
        auth: ``username`` and ``password``, or an ``identitytoken``; ``None`` to push without a login.
        layers: follows them.

    Raises:
        AccessDenied, NotFound, Conflict, Terminal, Unavailable: as the registry answers.
    """
    digest = ""
    try:
        client.tag(built, reference, tag)
        for record in client.push(reference, tag=tag, auth_config=auth or {}, stream=True, decode=True):
            interruption.check(f"The push of {reference}:{tag}")
            if "error" in record:
                raise push_error(f"{reference}:{tag}", record["error"])
            if ended := PUSHED.fullmatch(str(record.get("status", ""))):
                digest = ended[1]
            layers.record(record)
    except APIError as error:
        raise push_error(f"{reference}:{tag}", str(error.explanation or error)) from None
    if not digest:
        raise Unavailable(f"The push of {reference}:{tag} ended without a digest.")
    layers.end(f"Pushed {reference}:{tag} as {digest}")
    return digest
