"""An image of a commit, built and pushed."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from tasks.core import image_rules
from tasks.core.build.builder import Builder, Log, Order, Report
from tasks.core.build.context import Source
from tasks.core.build.engine_builder import EngineBuilder
from tasks.core.build.tags import point_tags
from tasks.core.errors import Unavailable
from tasks.core.images import ImageSpec
from tasks.core.models import Target
from tasks.core.registry.oci import Registry


@dataclass(frozen=True)
class Options:
    """How to build and push.

    Args:
        timeout: seconds the build may take.
        first: the tag to push it under before the others; the full sha by default.
        again: execute every step, and pull base images, whatever is in a cache.
        cache_size: bytes of build cache that stay on the engine; 0 leaves that to the engine.
        logins: registries besides the image's own whose docker login the build may use.
        builder: what builds it.
        report: is called with the fraction of the build, and then of the push, that is done.
        last: a tag to point at it after all others.
    """

    timeout: int
    first: str = ""
    again: bool = False
    cache_size: int = 0
    logins: Collection[str] = ()
    builder: Builder = field(default_factory=EngineBuilder)
    report: Report = lambda _phase, _fraction: None
    last: str = ""


def build_and_push(
    image: ImageSpec, target: Target, source: Source, registry: Registry, options: Options, log: Log
) -> str:
    """Build one image of a commit, push it under the target's tags, and return its digest.

    Whatever would stop the push or the build is asked for first, so that nothing is built in vain. What the builder
    has built of the image before, or another machine's last one has, is not built again.

    Args:
        image: what to build.
        target: the commit, and the tags.
        source: the commit's files.
        registry: where it goes.
        options: how.
        log: is called with each line of progress.

    Raises:
        NotFound: the commit has no such Dockerfile, or the registry no such repository.
        InvalidInput: the builder can't build it.
        BuildFailed: as the Dockerfile's build says.
        Conflict: a tag other than ``latest`` is immutable and means another image.
        AccessDenied, Terminal, Unavailable: as the registry, the git server or the engine answers.
    """
    registry.check(image.name)
    order = Order(
        image=image,
        recipe=source.recipe(image),
        context=partial(source.context, image),
        arguments=image.arguments(target.node_version),
        registry=registry,
        tag=options.first or target.tags[-1],
        timeout=options.timeout,
        again=options.again,
        cache_size=options.cache_size,
        logins=options.logins,
        log=log,
        report=options.report,
    )
    if not order.recipe.dockerfile.standard:
        frontend = order.recipe.dockerfile.frontend
        log(f"Warning: {frontend} reads {order.recipe.path} by rules of its own: it isn't checked before the build.")
    for argument in image_rules.like_secrets(image.build_args):
        log(f"Warning: {argument} is named like a secret, and build arguments stay readable in the image's history.")
    digest = options.builder.build_and_push(order)
    if registry.digest(image.name, digest) != digest:
        raise Unavailable(f"{registry.host} doesn't have {image.name}@{digest}, which has just been pushed.")
    point_tags(registry, image.name, digest, (*target.tags, *([options.last] if options.last else [])), log)
    return digest
