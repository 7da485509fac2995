"""What a person reads when a flow has ended: one Markdown artifact a run."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.clients import source_repository
from tasks.core.errors import DeliveryError
from tasks.core.gitops import source_commits
from tasks.core.models import DeployPlan, DeployResult, ImageUpdate, UpdateResult
from tasks.core.report import failure, links, markdown, outcome
from tasks.core.settings import load
from tasks.core.system.http import within
from tasks.runtime.server import patiently
from tasks.runtime.web import web

SECONDS = 5.0
"""How long a rollout waits for its own picture."""


def summarize_deploy(result: DeployResult) -> None:
    """Leave the first flow's summary in the run's artifacts, and as the newest under its key."""
    _leave(
        markdown.deployed(result) + links.of_deploy(result, load()),
        key=f"deploy-{result.environment}",
        description=f"{result.tag} to {result.environment}",
    )


def summarize_plan(update: ImageUpdate, plan: DeployPlan) -> None:
    """Leave what a delivery would do in the run's artifacts."""
    _leave(
        markdown.planned(plan) + _commits(update, plan.update),
        key=f"dry-run-deploy-{plan.environment}",
        description=f"What {plan.tag} to {plan.environment} would do",
    )


def summarize_update(update: ImageUpdate, result: UpdateResult) -> None:
    """Leave the second flow's summary in the run's artifacts, and as the newest under its key."""
    _leave(
        markdown.updated(result) + _commits(update, result) + links.of_update(result, load()),
        key=f"{'dry-run' if outcome.state_name(result) == 'DryRun' else 'update'}-{result.environment}",
        description=f"{result.tag} in {result.environment}",
    )


def _commits(update: ImageUpdate, result: UpdateResult) -> str:
    """List the source commits that an update brings; nothing if they aren't known."""
    settings = load()
    if not (result.diff and result.replaces and update.sha and settings.source_repo):
        return ""
    try:
        source = source_repository(settings)
        lines = source_commits.between(result.replaces, update.sha, source, settings.work_dir)
    except DeliveryError as error:
        get_run_logger().info("The summary doesn't list the source commits: %s", error.message)
        return ""
    return "\n## Source commits\n\n" + "\n".join(web().commits(lines)) + "\n"


def summarize_failure(flow: str, parameters: Mapping[str, Any], error: Exception) -> None:
    """Leave the summary of a run that failed, under the key of those that did not."""
    environment = parameters.get("environment", "dev")
    kind = "deploy" if flow == "deploy_to_k8s" else "update"
    if parameters.get("dry_run"):
        kind = "dry-run-deploy" if kind == "deploy" else "dry-run"
    what = next(filter(None, (parameters.get(name) for name in ("tag", "ref", "to"))), flow)
    _leave(
        failure.page(f"{environment}: {what}", error, web().run(str(flow_run.id))),
        key=f"{kind}-{environment}",
        description=f"{what} to {environment} failed",
    )


def _leave(page: str, key: str, description: str) -> None:
    """Leave a page in the run's artifacts; a server that stays away fails nothing that is done."""
    try:
        patiently(partial(create_markdown_artifact, page, key=load().names.own(key), description=description))
    except (DeliveryError, httpx.HTTPError) as error:
        get_run_logger().warning("The summary %s was not saved: %s", key, error)


def show_rollout(result: UpdateResult, lines: Sequence[str]) -> None:
    """Leave what a rollout waits for, and why, in the run's artifacts; the newest is what was seen last.

    It is worth less than the rollout: an artifact that cannot be written is logged, and no more.
    """
    try:
        page = markdown.waiting(result, lines) + links.of_update(result, load())
        described = f"{result.tag} on its way to {result.environment}"
        key = load().names.own(f"rollout-{result.environment}")
        within(SECONDS, partial(create_markdown_artifact, page, key=key, description=described))
    except Exception as error:  # whatever it is
        get_run_logger().debug("The state of the rollout is not shown: %s", error)
