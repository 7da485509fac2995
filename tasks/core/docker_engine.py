"""Builds and pushes by a Docker Engine, through its API and Docker's own SDK; no docker command is needed."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, StreamParseError
from docker.types import CancellableStream
from docker.utils import kwargs_from_env
from docker.utils.json_stream import json_stream

from tasks.core.buildkit import Progress
from tasks.core.errors import (
    AccessDenied,
    BuildFailed,
    Conflict,
    DeliveryError,
    InvalidInput,
    NotFound,
    Terminal,
    Unavailable,
)
from tasks.core.models import ImageSpec

Log = Callable[[str], None]

CONNECT_TIMEOUT = 10

LAYER_DONE = ("Pushed", "Layer already exists")


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
) -> str:
    """Build with BuildKit and return the image's id in the engine (``sha256:...``).

    Args:
        client: the engine.
        image: what to build.
        context: the build context, a tar stream.
        build_args: values of the Dockerfile's ``ARG``.
        timeout: seconds the build may take.
        log: is called with each line of progress.

    Raises:
        BuildFailed: the Dockerfile's build failed or took too long; ends with the build's last lines.
        Unavailable: the engine, or a registry the Dockerfile uses, failed.
    """
    progress, started, built = Progress(log), time.monotonic(), ""
    with _building(client, image, context, build_args, timeout) as records:
        for record in records:
            if "error" in record:
                raise _build_error(image, record["error"], progress)
            if record.get("id") == "moby.buildkit.trace":
                progress.record(record["aux"])
            elif record.get("id") == "moby.image.id":
                built = record["aux"]["ID"]
    if built:
        return str(built)
    if time.monotonic() - started >= timeout:
        raise BuildFailed(f"The build of {image.name} took longer than {timeout:g} seconds.", "See BUILD_TIMEOUT.")
    raise Unavailable(f"The Docker Engine ended the build of {image.name} without a result.", "Was it restarted?")


@contextmanager
def _building(
    client: docker.APIClient, image: ImageSpec, context: Iterator[bytes], build_args: Mapping[str, str], timeout: float
) -> Iterator[Iterable[dict[str, Any]]]:
    """The engine's records of a build, which ends with the block, by itself, or when its time is over."""
    # The SDK's own build() has no way to ask for BuildKit (docker-py issue 2230): hence the call by hand.
    started = time.monotonic()
    response = client.post(
        f"{client.base_url}/v{client.api_version}/build",
        params={
            "version": "2",
            "dockerfile": image.dockerfile,
            "buildargs": json.dumps(dict(build_args)),
            "platform": image.platform,
            "rm": "1",
        },
        headers={"Content-Type": "application/x-tar"},
        data=context,
        stream=True,
        timeout=(CONNECT_TIMEOUT, timeout),
    )
    with response:
        if response.status_code != requests.codes.ok:
            raise _refused(f"The Docker Engine refused to build {image.name}", response)
        records: Any = CancellableStream(json_stream(response.iter_content(chunk_size=None)), response)
        # The engine stops a build when the connection ends, but the one who waits for a silent build cannot end it.
        deadline = threading.Timer(max(0.0, started + timeout - time.monotonic()), records.close)
        deadline.start()
        try:
            yield records
        finally:
            deadline.cancel()


def push(client: docker.APIClient, built: str, reference: str, tag: str, auth: dict[str, str] | None, log: Log) -> str:
    """Push an image of the engine and return the digest it has in the registry.

    Args:
        client: the engine.
        built: id of the image in the engine.
        reference: ``registry/repository``.
        tag: the tag to push it under.
        auth: ``username`` and ``password``; ``None`` to use what ``docker login`` left.
        log: is called with each line of progress.

    Raises:
        AccessDenied, NotFound, Conflict, Unavailable: as the registry answers.
    """
    digest = ""
    try:
        client.tag(built, reference, tag)
        for record in client.push(reference, tag=tag, auth_config=auth, stream=True, decode=True):
            if "error" in record:
                raise push_error(f"{reference}:{tag}", record["error"])
            digest = record.get("aux", {}).get("Digest", digest)
            if record.get("status") in LAYER_DONE:
                log(f"{record['id']}: {record['status']}")
    except APIError as error:
        raise push_error(f"{reference}:{tag}", str(error.explanation or error)) from None
    if not digest:
        raise Unavailable(f"The push of {reference}:{tag} ended without a digest.")
    log(f"Pushed {reference}:{tag} as {digest}")
    return digest


NETWORK = re.compile(
    r"(?<![\w./-])(client\.timeout|timeout|timed out|deadline exceeded|connection (refused|reset)|no such host|eof"
    r"|no route to host|network is unreachable|server misbehaving|temporary failure|too many requests|toomanyrequests"
    r"|server error|service unavailable|bad gateway|transport is closing)(?![\w./-])"
)
"""What a network or a busy server is known by; not as a part of a path or a name, such as ``src/timeout.ts``."""
DENIED = ("denied", "unauthorized", "no basic auth", "authentication required", "forbidden", "incorrect username")
ABSENT = ("name unknown", "name_unknown", "does not exist", "repository not found")
NO_SPACE = "no space left"


def _build_error(image: ImageSpec, error: str, progress: Progress) -> DeliveryError:
    step, said = progress.failed, error.lower()
    its_own = "dockerfile parse error" in said or (step is not None and "exit code" in step.error)
    if not its_own and NO_SPACE in said:
        return Terminal(f"The Docker Engine has no space left to build {image.name}.", "Run docker system prune there.")
    if not its_own and NETWORK.search(said):
        return Unavailable(
            f"The build of {image.name} could not get what it needs: {error}", "Can the engine reach it?"
        )
    where = f" at {step.name}" if step else ""
    tail = "".join(f"\n  {line}" for line in step.lines) if step else ""
    return BuildFailed(f"The build of {image.name} failed{where}: {error}{tail}", f"Mend {image.dockerfile}.")


def push_error(reference: str, said: str) -> DeliveryError:
    """A registry's refusal, as the engine or the registry words it, as one of ours."""
    # Without the image's own names, which may be made of any words.
    image, _, tag = reference.rpartition(":")
    host, _, repository = image.partition("/")
    names = "|".join(map(re.escape, (image, host, host.partition(":")[0], repository, tag)))
    words = re.sub(rf"https?://[^\s\"]+|(?<![\w.-])({names})(?![\w.-])", "", said).lower()
    if "immutable" in words:
        return Conflict(
            f"{reference} exists already, with another digest, and the repository's tags are immutable.",
            "Deploy with a new tag_version, delete the tag, or make the repository's tags mutable.",
        )
    if any(part in words for part in DENIED):
        return AccessDenied(
            f"The registry refused the credentials for {reference}: {said}",
            "ECR: check the AWS credentials and their policy. Others: docker login on the machine that runs this.",
        )
    if NO_SPACE in words:
        return Terminal(f"There is no space left to push {reference}: {said}", "Free some, then run again.")
    if any(part in words for part in ABSENT):
        return NotFound(f"The registry has no repository for {reference}: {said}", "Create it first.")
    return Unavailable(f"{reference} could not be pushed: {said}")


def _refused(what: str, response: requests.Response) -> DeliveryError:
    try:
        said = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = response.text[:500]
    if response.status_code >= requests.codes.server_error and "dockerfile" not in said.lower():
        return Unavailable(f"{what}: {said}")
    return InvalidInput(f"{what}: {said}", "Check the Dockerfile's path and the platform.")
