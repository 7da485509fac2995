"""What GitHub shows of a deployment: the source commit's status, and a GitHub deployment. It can fail nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import task
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.connections import github
from tasks.core.errors import DeliveryError
from tasks.core.models import ImageUpdate
from tasks.core.report import one_line
from tasks.core.settings import load


@contextmanager
def shown_on_github(update: ImageUpdate) -> Iterator[None]:
    """Show that a deployment is in progress, and how it ends; nothing at all where ``GITHUB_STATUS`` is off."""
    if not load().github_status or not update.sha:
        yield
        return
    show(update, "in_progress", f"{update.tag} on its way")
    try:
        yield
    except BaseException as error:
        show(update, "failure", one_line(str(error)) or type(error).__name__)
        raise
    show(update, "success", f"{update.tag} deployed")


@task(name="github-status", task_run_name="github-status {update.environment} {update.tag} {state}", timeout_seconds=60)
def show(update: ImageUpdate, state: str, words: str) -> None:
    """Tell GitHub; where that fails, the log has it and the deployment goes on."""
    settings = load()
    try:
        hub = github(settings, settings.source_repo)
        hub.show(update.sha or "", update.environment, state, words, flow_run.ui_url or "")
    except DeliveryError as error:
        get_run_logger().warning("GitHub does not show it: %s", error.message)
