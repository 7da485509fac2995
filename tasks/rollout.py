"""The tasks ``rollout`` and ``health-check``: a pushed commit is a deployment when it runs."""

from contextlib import closing

from prefect import task
from prefect.logging import get_run_logger

from tasks.connections import gitops_repository
from tasks.core import order
from tasks.core.models import Rollout, UpdateResult
from tasks.core.scratch import scratch
from tasks.core.settings import load
from tasks.policy import RETRIES


@task(name="rollout", task_run_name="rollout {result.environment} {result.tag}", **RETRIES)
def rollout(result: UpdateResult) -> Rollout:
    """Wait until Argo CD has synced the commit, or a later one, and what it deploys is healthy.

    Raises:
        RolloutFailed: it is not within ``ROLLOUT_TIMEOUT``, or cannot become so.
        NotFound, AccessDenied, InvalidInput: as Argo CD answers.
    """
    from tasks.core.argocd import ArgoCD  # noqa: PLC0415 - loaded where there is an Argo CD
    from tasks.core.rollout import application_of, wait_for_rollout  # noqa: PLC0415

    settings, log = load(), get_run_logger().info
    application = application_of(result.environment)
    if not settings.argocd_server or not settings.argocd_auth_token:
        why = "ARGOCD_SERVER and ARGOCD_AUTH_TOKEN are not set"
        log("Not waiting for %s: %s", application, why)
        return Rollout(application=application, status="skipped", message=why)
    with closing(ArgoCD(settings.argocd_server, settings.argocd_auth_token, settings.argocd_project)) as argo:
        return wait_for_rollout(
            argo,
            application,
            result.commit,
            [image.digest for image in result.images if image.digest],
            lambda revision: _contains(revision, result.commit),
            settings.rollout_timeout,
            settings.rollout_poll_seconds,
            log,
        )


@task(name="health-check", task_run_name="health-check {result.environment} {result.tag}")
def check_health(result: UpdateResult) -> str:
    """Ask the environment's endpoint until it answers well; returns the answer, or nothing without an endpoint.

    Raises:
        RolloutFailed: it did not within ``HEALTH_TRIES``.
    """
    from tasks.core.health import check_endpoint  # noqa: PLC0415

    settings, log = load(), get_run_logger().info
    endpoint = settings.endpoint(result.environment)
    if not endpoint:
        return ""
    return check_endpoint(endpoint, settings.health_path, settings.health_tries, settings.health_seconds, log)


def _contains(revision: str, commit: str) -> bool:
    """Whether what Argo CD has synced is a descendant of the commit, by the GitOps repository."""
    settings = load()
    with scratch(settings.work_dir) as folder:
        return order.is_ancestor(gitops_repository(settings), commit, revision, folder / "gitops.git")
