"""The task ``dispatch``: tells the other repository's flow that there are new images."""

from prefect import task
from prefect.logging import get_run_logger

from tasks.connections import github_token
from tasks.core.errors import InvalidInput
from tasks.core.models import EVENT, ImageUpdate, Transport
from tasks.core.settings import load
from tasks.policy import RETRIES


@task(
    name="dispatch",
    task_run_name="dispatch {update.tag} to {update.environment} via {via}",
    timeout_seconds=120,
    **RETRIES,
)
def dispatch(update: ImageUpdate, via: Transport) -> None:
    """Send an image update on its way. Inline, the flow itself goes on with it, and there is nothing to send.

    Raises:
        InvalidInput: this way is not set up.
        AccessDenied, NotFound, Unavailable: as GitHub answers.
    """
    settings, log = load(), get_run_logger().info
    if via == "inline":
        log("update-flowise-deployment follows as a subflow of this run")
    elif via == "repository-dispatch":
        from tasks.core.github import repository_dispatch  # noqa: PLC0415 - PyGithub is only loaded to send

        settings.require("gitops_repo")
        repository_dispatch(settings.gitops_repo, update, github_token(settings), settings.github_api_url)
        log("%s sent to %s", EVENT, settings.gitops_repo)
    else:
        raise InvalidInput(f"dispatch via {via} is not there yet.", "Use inline or repository-dispatch.")
