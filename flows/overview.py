"""What is where, put together from git, Argo CD and Prefect, for the artifact, the command and the board."""

from tasks.approval import waiting
from tasks.core.gitops.status import Status
from tasks.core.report.overview import Overview, Waiting, now
from tasks.read_status import show_status, status_now
from tasks.rollout import look

SHOWN = 10
"""Deployments of each environment in the artifacts."""


def overview(status: Status, *also: Waiting) -> Overview:
    """Add to what git says what Argo CD and Prefect know, and the run that is about to wait."""
    health = {each.environment: look(each.environment) for each in status.environments}
    return Overview(at=now(), status=status, health=health, waiting=(*waiting(), *also))


def refresh(*also: Waiting) -> None:
    """Bring the artifacts ``status`` and ``ledger`` up to date.

    Args:
        also: a run that is about to wait for an operator.

    Raises:
        tasks.core.errors.DeliveryError: as the GitOps repository's server answers.
    """
    show_status(overview(status_now(SHOWN), *also))
