"""The tasks of ``watch-source``: look at the branch, compare with what was seen, start a run."""

from typing import cast

from prefect import task
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from tasks.clients import source_repository
from tasks.core.settings import load
from tasks.core.triggers import branch_watch
from tasks.core.triggers.webhook import DEPLOY, no_deployment
from tasks.runtime.retries import RETRIES


@task(name="read-head", task_run_name="read-head {branch}", timeout_seconds=900, **RETRIES)
def read_head(branch: str) -> str:
    """Ask the source repository for a branch's newest commit. See :func:`tasks.core.triggers.branch_watch.head`."""
    sha = branch_watch.head(source_repository(load()), branch)
    get_run_logger().info("%s is at %s", branch, sha)
    return sha


@task(name="compare", task_run_name="compare {old} with {new}", timeout_seconds=900, **RETRIES)
def compare(old: str, new: str) -> list[str] | None:
    """Return the files in which two commits differ. See :func:`tasks.core.triggers.branch_watch.changed_files`."""
    settings = load()
    files = branch_watch.changed_files(source_repository(settings), old, new, settings.work_dir)
    get_run_logger().info("%s files changed since %s", "unknown" if files is None else len(files), old)
    return files


@task(name="start-deploy", task_run_name="start-deploy {sha}", timeout_seconds=120, **RETRIES)
def start_deploy(sha: str, key: str) -> str:
    """Start ``deploy-to-k8s`` for dev as a run of its own, and return its id; for the same key it is the same run.

    Raises:
        NotFound: Prefect has no such deployment.
    """
    names = load().names
    deployment, key = names.deployment(DEPLOY), names.own(key)
    parameters = {"environment": "dev", "ref": sha, "actor": "watch-source"}
    try:
        run = cast(
            FlowRun,
            run_deployment(
                deployment, parameters=parameters, timeout=0, as_subflow=False, idempotency_key=names.own(key)
            ),
        )
    except ObjectNotFound:
        raise no_deployment(deployment) from None
    get_run_logger().info("%s runs as %s", deployment, run.id)
    return str(run.id)
