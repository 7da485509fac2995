"""The task ``tag-latest``: both images of the newest commit, once both of them exist."""

from collections.abc import Callable
from contextlib import closing

from prefect import task
from prefect.logging import get_run_logger

from tasks.clients import registry, source_repository
from tasks.core.build.tags import point_tags
from tasks.core.build.target import is_newest
from tasks.core.errors import DeliveryError
from tasks.core.models import BuiltImage, Target
from tasks.core.registry.oci import MOVING, Registry
from tasks.core.settings import load


@task(name="tag-latest", task_run_name="tag-latest {target.tag}")
def tag_latest(target: Target, server: BuiltImage, ui: BuiltImage) -> tuple[BuiltImage, BuiltImage]:
    """Point ``latest`` at both images if their commit is the head of the source repository's default branch.

    Nothing here deploys ``latest``: where it can't be moved, the log has the reason, and the delivery goes on.
    """
    log = get_run_logger().info
    try:
        if not is_newest(source_repository(load()), target):
            log("%s stays as it is: %s isn't the newest commit for everyone", MOVING, target.tag)
            return server, ui
        with closing(registry(load())) as connected:
            return _tagged(connected, server, log), _tagged(connected, ui, log)
    except DeliveryError as error:
        log("%s stays as it is: %s", MOVING, error.message)
    return server, ui


def _tagged(connected: Registry, image: BuiltImage, log: Callable[[str], None]) -> BuiltImage:
    moved = point_tags(connected, image.repository, image.digest, (MOVING,), log)
    return image.model_copy(update={"tags": (*image.tags[:1], *moved, *image.tags[1:])})
