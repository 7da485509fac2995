"""The flow ``status``: what is deployed where, who brought it there and when, by the GitOps repository alone."""

from typing import Annotated

from pydantic import Field

from tasks.core.gitops.status import Status
from tasks.core.settings import load
from tasks.read_status import read_status
from tasks.runtime.flow import flow


@flow(name="status")
def status(shown: Annotated[int, Field(ge=1, le=200)] = 10) -> Status:
    """Read the ledger of all environments, and what one has that the next has not yet.

    Args:
        shown: How many deployments of each environment.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    load().require("gitops_repo")
    return read_status(shown)
