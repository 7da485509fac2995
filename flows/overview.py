"""What is where, put together from git, Argo CD and Prefect, for the artifact, the command and the board."""

from tasks.approval import waiting
from tasks.core.gitops.status import Status
from tasks.core.report.overview import Overview, now
from tasks.read_status import show_status, status_now
from tasks.rollout import look

SHOWN = 10
"""Deployments of each environment in the artifacts."""


def overview(status: Status) -> Overview:
    """Add to what git says what Argo CD and Prefect know."""
    health = {each.environment: look(each.environment) for each in status.environments}
    return Overview(at=now(), status=status, health=health, waiting=waiting())


def refresh() -> None:
    """Bring the artifacts ``status`` and ``ledger`` up to date.

    Raises:
        tasks.core.errors.DeliveryError: as the GitOps repository's server answers.
    """
    show_status(overview(status_now(SHOWN)))
