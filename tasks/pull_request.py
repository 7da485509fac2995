"""The task ``pull-request``: a change that people merge."""

from prefect import task
from prefect.logging import get_run_logger

from tasks.clients import github, message_style, source_repository
from tasks.core.gitops import commit_message, source_commits, writer
from tasks.core.models import Approval, ImageUpdate, UpdateResult
from tasks.core.report import markdown
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES


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
        writer.proposal(update.environment),
        settings.branch_of(update.environment),
        commit_message.subject(update, message_style(settings)),
        markdown.proposed(update, result, commits, record),
    )
    get_run_logger().info("To be merged: %s", url)
    return result.model_copy(update={"pull_request": url})
