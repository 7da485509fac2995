"""The task ``plan-image``: whether an image of a commit would be built, without building it."""

from contextlib import closing

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from tasks.clients import image_in_registry, registry
from tasks.core.build.context import Source
from tasks.core.errors import NotFound
from tasks.core.models import PlannedImage, Target
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES


@task(
    name="plan-image",
    task_run_name="plan-image {image} {target.tag}",
    timeout_seconds=900,
    cache_policy=NO_CACHE,
    **RETRIES,
)
def plan_image(image: str, target: Target, source: Source, force: bool) -> PlannedImage:
    """Look for an image with the same inputs in the registry.

    Args:
        image: ``server`` or ``ui``.
        target: the commit.
        source: the commit's files.
        force: whether it would be built in any case.

    Raises:
        NotFound, InvalidInput, AccessDenied, Unavailable: as the build would.
    """
    settings = load()
    described = settings.images.specs[image]
    inputs = source.inputs(described, described.arguments(target.node_version))
    with closing(registry(settings)) as connected:
        name, found = image_in_registry(settings, described).name, None
        try:
            found = connected.digest(name, inputs)
        except NotFound:  # of a repository that the build would make
            if not settings.ecr_create_repositories:
                raise
    if force:
        planned = PlannedImage(repository=name, why="force builds it again")
    elif found:
        planned = PlannedImage(repository=name, digest=found, why=f"same inputs as {inputs}")
    else:
        planned = PlannedImage(repository=name, why=f"no image has the same inputs ({inputs})")
    get_run_logger().info("%s would be %s: %s", name, "reused" if planned.digest else "built", planned.why)
    return planned
