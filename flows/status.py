"""The flow ``status``: what is deployed where, who brought it there and when."""

from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.outcome import concluded
from flows.overview import overview
from tasks.core.gitops.status import Status
from tasks.core.settings import load
from tasks.read_status import read_status, show_status


@flow(name="status")
@concluded
def status(shown: Annotated[int, Field(ge=1, le=200)] = 10) -> Status:
    """Read the ledger of all environments, and what one has that the next has not yet.

    Args:
        shown: How many deployments of each environment.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    load().require("gitops_repo")
    found = read_status(shown)
    show_status(overview(found))
    return found
