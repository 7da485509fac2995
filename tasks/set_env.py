"""The task ``set-env``: which commit, under which tag, to which environment."""

from typing import Any

from prefect import task
from prefect.logging import get_run_logger

from tasks.clients import source_repository
from tasks.core.build import target
from tasks.core.models import Environment, Target
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES

# Persisted: a run that goes on after it has waited for an operator has the commit it began with, wherever main is now.
KEPT: dict[str, Any] = {"persist_result": True, "result_serializer": "json"}


@task(name="set-env", task_run_name="set-env {environment} {ref}", timeout_seconds=900, **KEPT, **RETRIES)
def set_env(environment: Environment, ref: str, node_version: str, tag_version: str | None = None) -> Target:
    """Resolve a ref of the source repository, without a checkout, and name its images.

    Args:
        environment: where the images go.
        ref: branch, tag or commit.
        node_version: the Dockerfiles' ``NODE_VERSION``.
        tag_version: goes in front of the tag, such as ``v1.2.0`` in ``v1.2.0-f3a21bc``.

    Raises:
        InvalidInput: a parameter or a setting cannot be what it should be.
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    settings = load()
    node = target.Node(node_version, settings.default_node_version)
    found = target.target(source_repository(settings), environment, ref, node, tag_version, settings.work_dir)
    get_run_logger().info("%s is %s, tag %s, for %s", ref, found.sha, found.tag, environment)
    return found
