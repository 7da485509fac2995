"""What a builder is: it makes an image from a context, and pushes it."""

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from tasks.core.build.buildkit import Recipe
from tasks.core.images import ImageSpec
from tasks.core.registry.docker_config import DOCKER_HUB, docker_login
from tasks.core.registry.oci import Credentials, Registry

Log = Callable[[str], None]
Report = Callable[[Literal["build", "push"], float], None]

KEPT = "buildcache"
"""The tag under which a build leaves its layers for other machines."""


class Context(Protocol):
    """Opens a build context."""

    def __call__(self, *, whole: bool = True) -> Generator[bytes]:
        """Return it as a tar stream."""


@dataclass(frozen=True)
class Order:
    """An image to be made of a commit.

    Args:
        image: its description.
        recipe: its Dockerfile.
        context: opens the build context, a tar stream; once for every try. ``whole=False`` leaves the Dockerfile out
            that the recipe has apart.
        arguments: values of the Dockerfile's ``ARG``.
        registry: where it goes.
        tag: what it is pushed under.
        timeout: seconds the build may take.
        again: execute every step, and pull base images, whatever is in a cache.
        cache_size: bytes of build cache that stay on the engine; 0 leaves that to the engine.
        logins: registries besides the image's own whose docker login the build may use.
        log: is called with each line of progress.
        report: is called with the fraction of the build, and then of the push, that is done.
    """

    image: ImageSpec
    recipe: Recipe
    context: Context
    arguments: Mapping[str, str]
    registry: Registry
    tag: str
    timeout: int
    again: bool
    cache_size: int
    logins: Collection[str]
    log: Log
    report: Report

    @property
    def repository(self) -> str:
        """Where the image goes, without a tag."""
        return f"{self.registry.host}/{self.image.name}"


def permitted_login(registry: Registry, listed: Collection[str], host: str) -> Credentials | None:
    """Return the login that a build gets for a registry: any branch's Dockerfile may name any of them.

    Raises:
        AccessDenied: there is one, but it can't be read.
    """
    if host == registry.host:
        return registry.credentials()
    return docker_login(host) if host in listed or (host == DOCKER_HUB and "docker.io" in listed) else None


class Builder(Protocol):
    """Makes images and pushes them."""

    def build_and_push(self, order: Order) -> str:
        """Build an image, push it under the order's tag, and return its digest in the registry.

        Raises:
            InvalidInput: the builder can't make it; raised before anything is built.
            BuildFailed: as the Dockerfile's build says.
            Conflict: the tag is immutable and means another image.
            AccessDenied, Terminal, Unavailable: as the registry, the git server or the builder answers.
        """
