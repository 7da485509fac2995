"""What GitHub shows of a deployment: the source commit's status, and a GitHub deployment. It can fail nothing."""

from collections.abc import Callable

from prefect import task
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.clients import github
from tasks.core.errors import DeliveryError
from tasks.core.models import ImageUpdate, ShownDeployment, UpdateResult
from tasks.core.settings import load
from tasks.core.text import one_line
from tasks.runtime.web import web

ANSWER = 5
"""Seconds GitHub has for each answer: a deployment does not wait for long only to be shown."""


def shown_on_github(update: ImageUpdate, delivering: Callable[[], UpdateResult]) -> UpdateResult:
    """Deliver, and show that it is in progress and how it ends; the latter only if ``GITHUB_STATUS`` is on."""
    if not load().github_status or not update.sha:
        return delivering()
    number = _try_to_show(update, "in_progress", f"{update.tag} on its way")
    try:
        result = delivering()
    except BaseException as error:
        _try_to_show(update, "failure", one_line(str(error)) or type(error).__name__, number)
        raise
    state, words = ("inactive", "superseded on its way") if result.superseded else ("success", "deployed")
    _try_to_show(update, state, f"{update.tag} {words}", number)
    return result


def _try_to_show(update: ImageUpdate, state: str, words: str, number: int | None = None) -> int | None:
    # As a state, so that nothing it comes to, its time limit included, is raised.
    shown = show(update, state, words, number, return_state=True).result(raise_on_failure=False)
    return shown if isinstance(shown, int) else number


@task(name="github-status", task_run_name="github-status {update.environment} {update.tag} {state}", timeout_seconds=20)
def show(update: ImageUpdate, state: str, words: str, number: int | None = None) -> int | None:
    """Tell GitHub and return its deployment's id; if that fails, the log has it and the deployment goes on.

    Args:
        update: what is delivered.
        state: how it goes, in GitHub's words.
        words: for people.
        number: the GitHub deployment that shows this delivery already.
    """
    settings = load()
    shown = ShownDeployment(settings.endpoint(update.environment), number)
    try:
        hub = github(settings, settings.source_repo, timeout=ANSWER)
        return hub.show(update.sha or "", update.environment, state, words, web().run(str(flow_run.id)), shown)
    except DeliveryError as error:
        get_run_logger().warning("GitHub does not show it: %s", error.message)
        return number
