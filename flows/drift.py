"""The flow ``drift``: what no deployment explains, on a schedule."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed
from prefect.variables import Variable

from flows.outcome import concluded
from flows.overview import overview
from tasks.core.models import ENVIRONMENTS
from tasks.core.report.drift import Drift, find, page
from tasks.core.settings import load
from tasks.read_status import read_status
from tasks.runtime.notify import notify
from tasks.runtime.web import ui

KNOWN = "drift_{}"
"""Prefect variables of the application with what people were notified of: the same drift is told once."""


@flow(name="drift")
@concluded
def drift() -> State[list[Drift]]:
    """Compare overlays with what was deployed and with what Argo CD runs; report edits by hand and lost images.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    settings = load()
    settings.require("gitops_repo")
    found = find(overview(read_status(1)), settings.images)
    create_markdown_artifact(page(found), key=settings.names.own("drift"), description="What no deployment explains")
    for environment in ENVIRONMENTS:
        _tell(environment, [each.words for each in found if each.environment == environment])
    said = "; ".join(f"{each.environment}: {each.words}" for each in found)
    return Completed(name="Drifted" if found else None, message=said or "No drift.", data=found)


def _tell(environment: str, words: list[str]) -> None:
    names = load().names
    name = names.variable(KNOWN.format(environment))
    if Variable.get(name, []) == words:
        return
    Variable.set(name, words, overwrite=True)
    if words:
        notify(
            "drift",
            environment,
            f"{environment} has drifted",
            "\n".join((*words, f"{ui()}/artifacts/key/{names.own('drift')}")),
        )
