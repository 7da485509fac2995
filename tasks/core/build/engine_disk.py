"""What a run leaves on the engine: none of its images, and a build cache of limited size.

While it works, its images have names of their own. Without a name an image could be removed together with another
run's, which has built the same. The name says which process it belongs to, so that the next run can remove what a
killed one has left.
"""

import hashlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import docker
import requests
from docker.errors import APIError, NotFound

from tasks.core.errors import DeliveryError, Unavailable

HOST = "flowise.invalid"
"""No registry can have this host (RFC 2606): BuildKit, which looks for a base image there, finds none."""

ABANDONED = 24 * 3600
"""Seconds after which another machine's image counts as left behind."""

PROCESS = secrets.token_hex(4)
"""This process, in case its number is used again after a restart."""

TRIES = 5


@contextmanager
def working_name(client: docker.APIClient, image: str) -> Iterator[str]:
    """Yield a name for what is built of this image; it and ``NAME-released`` are removed in the end.

    What killed runs have left of the same image is removed first.
    """
    _sweep(client, image)
    name = f"{HOST}/{image}:{int(time.time())}-{_machine()}-{os.getpid()}-{PROCESS}-{secrets.token_hex(4)}"
    try:
        yield name
    finally:
        for each in (name, f"{name}-released"):
            remove(client, each)


def push_as(client: docker.APIClient, built: str, name: str, push: Callable[[], str]) -> str:
    """Push an image under a registry's name, which the engine has for so long only; return the digest.

    Several runs may push under one name at once, ``buildcache`` for example. It counts as pushed if the name meant
    the same image before and after.

    Raises:
        DeliveryError: as ``push`` does, which gives the image its name.
        Unavailable: others kept taking the name.
    """
    try:
        for _ in range(TRIES):
            failure, digest = None, ""
            try:
                digest = push()
            except DeliveryError as error:
                failure = error
            if _inspected(client, name).get("Id") == built:
                if failure:
                    raise failure
                return digest
        raise Unavailable(f"Other runs on the same Docker Engine push {name}, too.")
    finally:
        remove(client, name)


def limit_cache(client: docker.APIClient, size: int) -> None:
    """Remove what was used longest ago from the build cache beyond this many bytes; 0 leaves it to the engine.

    Engines before 28.3 keep all of it unless their ``builder.gc`` is configured.
    """
    if size:
        keep = {"keep-storage": str(size), "reserved-space": str(size)}  # the latter from API 1.48 on
        url = f"{client.base_url}/v{client.api_version}/build/prune"
        with suppress(requests.RequestException):
            client.post(url, params={"all": "1", **keep}, timeout=client.timeout)


def remove(client: docker.APIClient, name: str) -> None:
    """Take a name from an image, and with the last one the image; what made it stays in the build cache."""
    with suppress(APIError, requests.RequestException):  # gone already, in use, or the engine is away
        client.remove_image(name)


def _inspected(client: docker.APIClient, name: str) -> dict[str, Any]:
    """Return what the engine says of an image; nothing if it is gone."""
    with suppress(NotFound):
        return dict(client.inspect_image(name))  # type: ignore[no-untyped-call]
    return {}


def _sweep(client: docker.APIClient, image: str) -> None:
    for each in client.images(f"{HOST}/{image}"):  # which says the names that match, and no others
        names = _inspected(client, each["Id"]).get("RepoTags") or []
        if not any(_in_use(name) for name in names):
            for name in names:
                if name.rpartition(":")[0].endswith(f"/{image}"):
                    remove(client, name)


def _in_use(name: str) -> bool:
    """Whether the process that gave this name may still need it."""
    repository, _, tag = name.rpartition(":")
    if not repository.startswith(f"{HOST}/"):
        return False
    since, machine, pid, process, *_ = tag.split("-")
    if machine != _machine():
        return time.time() - int(since) < ABANDONED
    if int(pid) == os.getpid():
        return process == PROCESS
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
