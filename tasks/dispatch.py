"""The task ``dispatch``: tells the other repository's flow that there are new images."""

from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

import httpx
from prefect import task
from prefect.client.orchestration import get_client

from tasks.clients import github
from tasks.core.errors import Unavailable
from tasks.core.models import ImageUpdate, Transport
from tasks.core.settings import load
from tasks.runtime.log import info
from tasks.runtime.retries import RETRIES
from tasks.runtime.server import patiently
from tasks.runtime.skipped import skipped


@task(
    name="dispatch",
    task_run_name="dispatch {update.tag} to {update.environment} via {via}",
    timeout_seconds=120,
    **RETRIES,
)
def dispatch(update: ImageUpdate, via: Transport, force: bool = False) -> None:
    """Send an image update on its way. Inline, the flow itself goes on with it, and there is nothing to send.

    Args:
        update: what to send.
        via: how; only ``prefect-event`` carries ``force``.
        force: have the second flow replace a newer source commit by an older one.

    Raises:
        InvalidInput: there is no token, or GITOPS_REPO is not on GitHub.
        AccessDenied, NotFound, Unavailable: as GitHub, or Prefect, answers.
    """
    settings, log = load(), info()
    if via == "inline":
        return skipped("Nothing to send: update-flowise-deployment follows as a subflow of this run.", None)
    if via == "repository-dispatch":
        settings.require("gitops_repo")
        github(settings, settings.gitops_repo).dispatch(update)
        log("%s sent to %s", settings.names.event, settings.gitops_repo)
    else:
        emit(update, force)
        log("%s sent to Prefect's events", settings.names.event)
    return None


def emit(update: ImageUpdate, force: bool = False) -> None:
    """Post the Prefect event that prefect.yaml's trigger starts update-flowise-deployment on.

    Posted and answered, rather than left to ``emit_event``, which loses events in silence when the server is away
    or this process ends too soon. The id is made from the run, so that a retry is the same event.
    """
    names = load().names
    event = {
        "id": str(uuid5(NAMESPACE_URL, f"{names.event}/{update.workflow_run_id}/{update.environment}/{update.tag}")),
        "occurred": datetime.now(UTC).isoformat(),
        "event": names.event,
        "resource": {"prefect.resource.id": names.image_resource(update.environment)},
        "payload": update.payload() | {"force": force},
    }

    def post() -> None:
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/events", json=[event])
            if answer.content:
                answer.json()  # a proxy's or a login page has taken nothing

    try:
        patiently(post)
    except httpx.HTTPError as error:
        raise Unavailable(f"Prefect did not take the event {names.event}: {error}", "Is the API up?") from None
