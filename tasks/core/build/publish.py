"""An image of a commit, built and pushed."""

import secrets
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
        inputs: the tag of what it is made of.
        again: execute every step, and pull base images, whatever is in a cache.
        cache_size: bytes of build cache that stay on the engine; 0 leaves that to the engine.
        logins: registries besides the image's own whose docker login the build may use.
        builder: what builds it.
        report: is called with the fraction of the build, and then of the push, that is done.
    """

    timeout: int
    inputs: str = ""
    again: bool = False
    cache_size: int = 0
    logins: Collection[str] = ()
    builder: Builder = field(default_factory=EngineBuilder)
    report: Report = lambda _phase, _fraction: None


def build_and_push(
    image: ImageSpec, target: Target, source: Source, registry: Registry, options: Options, log: Log
) -> str:
    """Build one image of a commit, push it under the target's tags, and return its digest.

    Whatever would stop the push or the build is asked for first, so that nothing is built in vain. What the builder
    has built of the image before, or another machine's last one has, is not built again.

    It is pushed under the tag of its inputs before all others: a run that is killed in between has not built in vain.
    One that was built again is pushed under a tag of its own, because all others may be immutable.

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
        Conflict: the release's tag is immutable and means another image, which was not to be built again.
        AccessDenied, Terminal, Unavailable: as the registry, the git server or the engine answers.
    """
    registry.check(image.name)
    order = Order(
        image=image,
        recipe=source.recipe(image),
        context=partial(source.context, image),
        arguments=image.arguments(target.node_version),
        registry=registry,
        tag=_first(target, options),
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
    tags = (*target.tags, *([options.inputs] if options.inputs else []))
    point_tags(registry, image.name, digest, tags, log, claimed="" if options.again else target.tag)
    return digest


def _first(target: Target, options: Options) -> str:
    if options.again:
        return f"{target.tags[-1]}-again-{secrets.token_hex(4)}"
    return options.inputs or target.tags[-1]
