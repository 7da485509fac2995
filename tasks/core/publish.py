"""An image of a commit, built and pushed."""

from collections.abc import Callable

from tasks.core import docker_engine
from tasks.core.models import ImageSpec, Target
from tasks.core.registry import Registry
from tasks.core.source import Source
from tasks.core.tags import point_tags


def build_and_push(
    image: ImageSpec, target: Target, source: Source, registry: Registry, timeout: int, log: Callable[[str], None]
) -> str:
    """Build one image of a commit, push it under the target's tags, and return its digest.

    Whatever would stop the push or the build is asked for first, so that nothing is built in vain.

    Raises:
        NotFound: the commit has no such Dockerfile, or the registry no such repository.
        BuildFailed: as the Dockerfile's build says.
        Conflict: a tag other than ``latest`` is immutable and means another image.
        AccessDenied, Unavailable: as the registry, the git server or the engine answers.
    """
    registry.check(image.name)
    context = source.context(image)
    build_args = {"NODE_VERSION": target.node_version}
    with docker_engine.engine(timeout) as engine:
        built = docker_engine.build(engine, image, context, build_args, timeout=timeout, log=log)
        user, password = registry.credentials() or ("", "")
        digest = docker_engine.push(
            engine,
            built,
            f"{registry.host}/{image.name}",
            target.sha,
            auth={"username": user, "password": password} if user else None,
            log=log,
        )
    point_tags(registry, image.name, digest, target.tags, log)
    return digest
