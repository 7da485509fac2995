"""An image of a commit, built and pushed."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Literal

import docker

from tasks.core import image_rules
from tasks.core.build import docker_engine
from tasks.core.build.buildkit import Help, Recipe
from tasks.core.build.buildkit_session import session
from tasks.core.build.connection import connect, find_engine
from tasks.core.build.context import Source
from tasks.core.build.engine_disk import limit_cache, push_as, working_name
from tasks.core.build.tags import point_tags
from tasks.core.errors import AccessDenied, Conflict, DeliveryError, LoginExpired, Unavailable
from tasks.core.images import ImageSpec
from tasks.core.models import Target
from tasks.core.registry.docker_config import DOCKER_HUB, IDENTITY, docker_login, proxy_arguments
from tasks.core.registry.oci import Credentials, Registry

Log = Callable[[str], None]
Progress = Callable[[Literal["build", "push"], float], None]

KEPT = "buildcache"
"""The tag under which a build leaves its layers for other machines: one more manifest, no more layers."""


@dataclass(frozen=True)
class Options:
    """How to build and push.

    Args:
        timeout: seconds the build may take.
        first: the tag to push it under before the others; the full sha by default.
        again: execute every step, and pull base images, whatever is in a cache.
        cache_size: bytes of build cache that stay on the engine; 0 leaves that to the engine.
        logins: registries besides the image's own whose docker login the build may use.
    """

    timeout: int
    first: str = ""
    again: bool = False
    cache_size: int = 0
    logins: Collection[str] = ()


def build_and_push(  # noqa: PLR0913 - not grouped yet
    image: ImageSpec,
    target: Target,
    source: Source,
    registry: Registry,
    options: Options,
    log: Log,
    progress: Progress = lambda _phase, _fraction: None,
) -> str:
    """Build one image of a commit, push it under the target's tags, and return its digest.

    Whatever would stop the push or the build is asked for first, so that nothing is built in vain. What the engine
    has built of the image before, or another machine's last one has, is not built again.

    Args:
        image: what to build.
        target: the commit, and the tags.
        source: the commit's files.
        registry: where it goes.
        options: how.
        log: is called with each line of progress.
        progress: is called with the fraction of the build, and then of the push, that is done.

    Raises:
        NotFound: the commit has no such Dockerfile, or the registry no such repository.
        BuildFailed: as the Dockerfile's build says.
        Conflict: a tag other than ``latest`` is immutable and means another image.
        AccessDenied, Terminal, Unavailable: as the registry, the git server or the engine answers.
    """
    registry.check(image.name)
    recipe = Recipe(f"{image.folder}{image.dockerfile}", source.dockerfile(image), image.target)
    context = source.context(image)  # raises where there is none; nothing is read of it yet

    def helped(opened: str) -> Help:
        return Help("" if options.again else _kept(registry, image.name, log), opened, keep=True, again=options.again)

    for argument in image_rules.like_secrets(image.build_args):
        log(f"Warning: {argument} is named like a secret, and build arguments stay readable in the image's history.")
    with connect(options.timeout) as engine, working_name(engine, image.name) as name:
        with closing(context), session(engine, partial(_login, registry, options.logins)) as opened:
            built = docker_engine.build(
                engine,
                image,
                context,
                proxy_arguments(find_engine().host) | image.arguments(target.node_version),
                timeout=options.timeout,
                log=log,
                progress=partial(progress, "build"),
                helped=helped(opened),
                name=name,
                recipe=recipe,
            )
        with ThreadPoolExecutor(1) as beside:
            keep = partial(_keep, engine, built, registry, image.name, log, partial(progress, "push"))
            sent = beside.submit(copy_context().run, keep)  # what is told of it belongs to the same run
            released = docker_engine.without_cache(engine, image, name, options.timeout)
            sent.result()
            beside.submit(limit_cache, engine, options.cache_size)
            digest = _push(engine, released, registry, image.name, options.first or target.tags[-1], log)
        if registry.digest(image.name, digest) != digest:
            raise Unavailable(f"{registry.host} doesn't have {image.name}@{digest}, which the engine has just pushed.")
        point_tags(registry, image.name, digest, target.tags, log)
    return digest


def _kept(registry: Registry, repository: str, log: Log) -> str:
    """Return the image whose layers may be of use; none where there is none yet."""
    try:
        digest = registry.digest(repository, KEPT)
    except DeliveryError as failure:
        log(f"No layers of {registry.host}/{repository} are used: {failure.message}")
        return ""
    return f"{registry.host}/{repository}@{digest}" if digest else ""


def _keep(
    engine: docker.APIClient,
    built: str,
    registry: Registry,
    repository: str,
    log: Log,
    progress: docker_engine.Fraction,
) -> None:
    """Send the layers, and keep them for the next machine; where tags are immutable, the first build's, for ever."""
    try:
        _push(engine, built, registry, repository, KEPT, log, progress)
    except Conflict as conflict:
        log(f"These layers are not kept for other machines: {conflict.message}")


def _login(registry: Registry, listed: Collection[str], host: str) -> Credentials | None:
    """Return the login that a build gets for a registry: any branch's Dockerfile may name any of them."""
    if host == registry.host:
        return registry.credentials()
    return docker_login(host) if host in listed or (host == DOCKER_HUB and "docker.io" in listed) else None


def _push(  # noqa: PLR0913 - not grouped yet
    engine: docker.APIClient,
    built: str,
    registry: Registry,
    repository: str,
    tag: str,
    log: Log,
    progress: docker_engine.Fraction = lambda _: None,
) -> str:
    """Push with a login made now, after the build; and with another one where that expires meanwhile."""

    reference = f"{registry.host}/{repository}"

    layers = len(engine.inspect_image(built)["RootFS"].get("Layers") or ())  # type: ignore[no-untyped-call]

    def once() -> str:
        auth = _auth(registry, log)
        return push_as(
            engine,
            built,
            f"{reference}:{tag}",
            lambda: docker_engine.push(engine, built, reference, tag, auth, log, progress, layers),
        )

    try:
        return once()
    except LoginExpired as expired:
        log(f"{expired.message} Once more, with a new login.")
        return once()


def _auth(registry: Registry, log: Log) -> dict[str, str]:
    """Return the login for a push as the engine's API takes it; a registry may do without one."""
    try:
        user, password = registry.credentials() or ("", "")
    except AccessDenied as unreadable:
        log(f"Pushing without a login: {unreadable.message}")
        return {}
    if user == IDENTITY:
        return {"identitytoken": password}
    return {"username": user, "password": password} if user else {}
