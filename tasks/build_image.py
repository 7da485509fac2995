"""The tasks ``build-server`` and ``build-ui``: an image of a commit, built and pushed, unless that was done before."""

from contextlib import closing
from typing import Any

from prefect import task
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.connections import registry
from tasks.core.models import SERVER, UI, Build, ImageSpec, Target
from tasks.core.settings import load
from tasks.core.source import Source
from tasks.policy import RETRIES


def build_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Prefect's cache key: what an image is made of and where it was pushed, but not which environment it is for."""
    target: Target = parameters["target"]
    where = load().ecr_registry.replace(":", "-")
    return f"{context.task.name}-{where}-{target.sha}-node{target.node_version}"


CACHED: dict[str, Any] = {"persist_result": True, "result_serializer": "json", "cache_key_fn": build_key}


@task(name="build-server", task_run_name="build-server {target.tag}", **CACHED, **RETRIES)
def build_server(target: Target, source: Source) -> Build:
    """Build and push the server's image. See :func:`build_image`."""
    return build_image(SERVER, target, source)


@task(name="build-ui", task_run_name="build-ui {target.tag}", **CACHED, **RETRIES)
def build_ui(target: Target, source: Source) -> Build:
    """Build and push the user interface's image. See :func:`build_image`."""
    return build_image(UI, target, source)


def build_image(image: ImageSpec, target: Target, source: Source) -> Build:
    """Build one image with BuildKit and push it under the target's tags; the build's output goes to the log.

    Raises:
        NotFound, BuildFailed, Conflict, AccessDenied, Unavailable: see ``tasks.core.publish``.
    """
    from tasks.core.publish import build_and_push  # noqa: PLC0415 - Docker's SDK is only loaded to build

    settings, log = load(), get_run_logger().info
    with closing(registry(settings)) as connected:
        digest = build_and_push(image, target, source, connected, settings.build_timeout, log)
    return Build(repository=image.name, digest=digest, flow_run=flow_run.id)
