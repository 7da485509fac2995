"""The task ``read-status``: the GitOps repository's own record of every deployment."""

from collections.abc import Sequence

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.clients import overlays
from tasks.core.errors import DeliveryError
from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.status import Status, effect_at, read
from tasks.core.models import ObjectChange
from tasks.core.report import status_page
from tasks.core.report.overview import Overview
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES
from tasks.runtime.web import web


@task(name="read-status", timeout_seconds=600, **RETRIES)
def read_status(shown: int) -> Status:
    """Read what is deployed where.

    Args:
        shown: deployments of each environment.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    return status_now(shown)


def status_now(shown: int) -> Status:
    """Read what is deployed where, also outside of a run."""
    settings = load()
    return read(overlays(settings, "dev"), settings.promotion, shown)


def show_status(view: Overview) -> None:
    """Leave two artifacts: the page ``status`` and the table ``ledger``."""
    names = load().names
    create_markdown_artifact(
        status_page.page(view, web()), key=names.own("status"), description="What is deployed where"
    )
    create_table_artifact(
        status_page.rows(view), key=names.own("ledger"), description="Who deployed what, where and when"
    )


def effects_of(deployment: Deployment) -> Sequence[ObjectChange]:
    """Return which objects a deployment changed in the cluster; none if its overlay can't be rendered."""
    settings = load()
    if settings.render == "off":
        return ()
    try:
        return effect_at(overlays(settings, deployment.environment), deployment)
    except DeliveryError:
        return ()
