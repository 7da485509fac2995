"""The tasks ``rollout`` and ``health-check``: a pushed commit is a deployment when it runs."""

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from prefect import task
from pydantic import SecretStr

from tasks.clients import overlays
from tasks.core.errors import DeliveryError, Inconclusive, RolloutFailed
from tasks.core.gitops.history import GitOpsHistory
from tasks.core.gitops.ledger import Deployment
from tasks.core.models import Environment, ImageRef, Rollout, UpdateResult
from tasks.core.report.overview import Health
from tasks.core.settings import Settings, load
from tasks.core.text import one_line
from tasks.runtime.log import info
from tasks.runtime.retries import RETRIES
from tasks.runtime.skipped import skipped
from tasks.summary import show_rollout

if TYPE_CHECKING:
    from tasks.core.rollout.argocd import ArgoCD
    from tasks.core.rollout.goal import Goal

WITHIN = 30.0
"""Seconds for one look at Argo CD."""

LOOK = 5.0
"""Seconds for a look that nothing depends on."""


@task(name="rollout", task_run_name="rollout {result.environment} {result.tag}", **RETRIES)
def rollout(result: UpdateResult) -> Rollout:
    """Wait until Argo CD has synced the commit, or a later one, and what it deploys is healthy.

    Raises:
        RolloutFailed: the commit is refuted: its sync failed, or it is Degraded.
        Inconclusive: neither that nor a rollout was seen within ``ROLLOUT_TIMEOUT``.
        NotFound, AccessDenied, InvalidInput: as Argo CD answers.
    """
    settings, log = load(), info()
    application = settings.argocd_application_of(result.environment)
    if not settings.argocd_server or not settings.argocd_auth_token:
        why = "ARGOCD_SERVER and ARGOCD_AUTH_TOKEN are not set"
        log("Not waiting for %s: %s", application, why)
        return skipped(why, Rollout(application=application, status="skipped", message=why))
    from tasks.core.rollout.watch import Patience, wait_for_rollout  # noqa: PLC0415 - loaded where there is an Argo CD

    patience = Patience(
        settings.rollout_timeout,
        settings.rollout_poll_seconds,
        settings.degraded_seconds,
        settings.pods_degraded_seconds,
    )
    goal = _goal(settings, result.environment, result.commit, result.images, patience.timeout)
    with closing(_argo_cd(settings, settings.argocd_auth_token)) as argo:
        try:
            return wait_for_rollout(argo, application, goal, patience, log, partial(show_rollout, result))
        except (RolloutFailed, Inconclusive) as error:
            show_rollout(result, [error.message])
            raise


@task(name="health-check", task_run_name="health-check {result.environment} {result.tag}")
def check_health(result: UpdateResult, before: str = "") -> str:
    """Ask the environment's endpoint until it answers well; returns the answer, or nothing without an endpoint.

    Args:
        result: what was deployed.
        before: what the endpoint answered before that, if it failed already.

    Raises:
        RolloutFailed: it answered each of ``HEALTH_TRIES`` with a 5xx, and didn't before the deployment.
        Inconclusive: it did not answer well, and that may have other reasons than the deployment.
    """
    from tasks.core.rollout.health import check_endpoint  # noqa: PLC0415

    settings, log = load(), info()
    endpoint = settings.endpoint(result.environment)
    if not endpoint:
        return skipped(f"No endpoint of {result.environment} is set.", "")
    try:
        return check_endpoint(endpoint, settings.health_path, settings.health_tries, settings.health_seconds, log)
    except RolloutFailed as failure:
        if not before:
            raise
        said = f"{failure.message} Before the deployment it answered {before.rstrip('.')}."
        raise Inconclusive(said, failure.hint) from None


def failing_endpoint(environment: Environment) -> str:
    """Return what the environment's endpoint answers if it fails already; empty if it doesn't, or there is none."""
    from tasks.core.rollout.health import failing_now  # noqa: PLC0415

    endpoint = load().endpoint(environment)
    return failing_now(endpoint, load().health_path) if endpoint else ""


@task(name="check-running", task_run_name="check-running {deployment.environment} {deployment.tag}", **RETRIES)
def check_running(deployment: Deployment, images: Sequence[ImageRef]) -> None:
    """Make sure that a deployment runs, healthy, and its endpoint answers; what is not set is not checked.

    Raises:
        NotProven: Argo CD says that it does not, or the endpoint does not answer.
        NotFound, AccessDenied, InvalidInput, Unavailable: as Argo CD answers.
    """
    from tasks.core.rollout import health  # noqa: PLC0415 - loaded where there is an Argo CD
    from tasks.core.rollout import watch as argo_cd  # noqa: PLC0415

    settings, log = load(), info()
    environment, commit = deployment.environment, deployment.commit
    application, endpoint = settings.argocd_application_of(environment), settings.endpoint(environment)
    if settings.argocd_server and settings.argocd_auth_token:
        goal = _goal(settings, environment, commit, images, WITHIN)
        with closing(_argo_cd(settings, settings.argocd_auth_token)) as argo:
            argo_cd.check_running(argo, application, goal, WITHIN)
        log("%s runs %s, healthy", application, deployment.tag)
    else:
        log("Skipping the Argo CD health check for %s: ARGOCD_SERVER and ARGOCD_AUTH_TOKEN are not set", application)
    if endpoint:
        health.check_now(endpoint, settings.health_path)


def _goal(
    settings: Settings, environment: Environment, commit: str, images: Sequence[ImageRef], seconds: float
) -> "Goal":
    from tasks.core.rollout.goal import Goal  # noqa: PLC0415

    history = GitOpsHistory(overlays(settings, environment), commit, environment, images, seconds)
    return Goal(commit, images, history)


def _argo_cd(settings: Settings, token: SecretStr) -> "ArgoCD":
    from tasks.core.rollout.argocd import ArgoCD, Scope  # noqa: PLC0415

    scope = Scope(settings.argocd_project, settings.argocd_namespace)
    return ArgoCD(settings.argocd_server, token, scope, settings.argocd_ca_file)


def look(environment: Environment) -> Health:
    """Return what Argo CD says of an environment's health right now; empty if Argo CD can't be asked."""
    settings = load()
    if not settings.argocd_server or not settings.argocd_auth_token:
        return Health()
    try:
        with closing(_argo_cd(settings, settings.argocd_auth_token)) as argo:
            status = argo.application(settings.argocd_application_of(environment), LOOK).status
    except DeliveryError as error:
        return Health(status="Unknown", words=one_line(error.message))
    words = one_line(getattr(status.health, "message", "") or "")
    return Health(status=status.health.status, words=words, images=tuple(status.summary.images))
