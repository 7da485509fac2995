"""The tasks ``pull-request``, ``close-pull-request`` and ``await-merge``: a change that people merge."""

import time

from prefect import task
from prefect.logging import get_run_logger

from tasks.clients import github, message_style, source_repository
from tasks.core.errors import Rejected, Unavailable
from tasks.core.gitops import commit_message, source_commits
from tasks.core.models import Approval, ImageUpdate, UpdateResult
from tasks.core.report import markdown
from tasks.core.settings import load
from tasks.core.text import literal
from tasks.runtime.retries import RETRIES

POLL_SECONDS = 15
"""Seconds between two looks at a pull request."""


@task(
    name="pull-request", task_run_name="pull-request {update.environment} {update.tag}", timeout_seconds=300, **RETRIES
)
def open_pull_request(update: ImageUpdate, result: UpdateResult) -> UpdateResult:
    """Open the environment's pull request, or bring the open one up to date.

    Raises:
        InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
    """
    settings = load()
    source = source_repository(settings) if settings.source_repo else None
    commits = source_commits.markdown(result.replaces, update.sha or "", source, settings.work_dir)
    approval = Approval(by=result.approved_by, note=result.approval_note)
    record = commit_message.body(update, approval, result.origin, message_style(settings))
    url = github(settings, settings.gitops_repo).propose(
        settings.names.proposal(update.environment),
        settings.branch_of(update.environment),
        commit_message.subject(update, message_style(settings), result.origin),
        markdown.proposed(update, result, commits, record),
    )
    get_run_logger().info("To be merged: %s", url)
    return result.model_copy(update={"pull_request": url})


@task(
    name="close-pull-request", task_run_name="close-pull-request {update.environment}", timeout_seconds=300, **RETRIES
)
def close_pull_request(update: ImageUpdate, result: UpdateResult) -> None:
    """Close a pull request that proposes something else than what is wanted, and deployed already.

    Raises:
        InvalidInput, AccessDenied, NotFound, Unavailable: as GitHub answers.
    """
    settings = load()
    branch, base = settings.names.proposal(update.environment), settings.branch_of(update.environment)
    why = (
        f"{literal(update.tag)} is wanted in {update.environment}, and {base} has it at {result.commit[:7]}: "
        "nothing is left to merge here. Open this again if you want its change all the same."
    )
    if url := github(settings, settings.gitops_repo).close(branch, base, why):
        get_run_logger().info("Closed, because it isn't wanted any more: %s", url)


@task(name="await-merge", task_run_name="await-merge {result.environment} {result.tag}")
def await_merge(result: UpdateResult) -> UpdateResult:
    """Wait for ``MERGE_WAIT`` seconds until a pull request is merged; the answer has the commit that it became.

    Raises:
        Rejected: it was closed.
        InvalidInput, AccessDenied, NotFound: as GitHub answers.
    """
    settings, logger = load(), get_run_logger()
    hub, end = github(settings, settings.gitops_repo), time.monotonic() + settings.merge_wait
    logger.info("Waiting up to %s s for people to merge %s", settings.merge_wait, result.pull_request)
    while True:
        commit: str | None = ""
        try:
            commit = hub.merged_as(result.pull_request)
        except Unavailable as error:
            logger.warning(error.message)
        if commit:
            logger.info("Merged as %s", commit)
            return result.model_copy(update={"commit": commit, "changed": True, "proposed": False})
        if commit is None:
            raise Rejected(
                f"{result.pull_request} was closed without being merged.", "Deploy again to propose it anew."
            )
        if time.monotonic() > end:
            logger.info("Not merged yet; run the same update again after the merge to see its rollout")
            return result
        time.sleep(min(POLL_SECONDS, settings.merge_wait))
