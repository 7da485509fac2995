"""The flow ``rollback``: an environment goes back to what it had before."""

from typing import Annotated

from pydantic import Field

from flows.delivery import deliver
from flows.outcome import concluded
from tasks.core.gitops.rollback import Wanted
from tasks.core.models import Environment, OptionalLine, UpdateResult
from tasks.core.settings import load
from tasks.find_deployment import find_earlier
from tasks.list_choices import list_choices
from tasks.runtime.flow import flow
from tasks.runtime.starter import starter


@flow(name="rollback", flow_run_name="rollback {environment}")
@concluded
def rollback(
    environment: Environment,
    to: OptionalLine = None,
    steps: Annotated[int, Field(ge=1, le=100)] = 1,
    reason: OptionalLine = None,
    dry_run: bool = False,
    actor: OptionalLine = None,
) -> UpdateResult:
    """Write the images of an earlier deployment into the overlay again, as a new commit that says what it restores.

    Args:
        environment: What goes back.
        to: Tag, source commit or GitOps commit of the deployment to restore; empty to count steps. A dry run lists
            what there is, in the artifact rollback-ENVIRONMENT.
        steps: How many different deployments to go back.
        reason: Why; it stands in the commit message.
        dry_run: Only show what would be written.
        actor: Who asked for it; who started the run, where empty.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    load().require("gitops_repo", "ecr_registry")
    list_choices(environment)
    back = find_earlier(environment, Wanted(to or "", steps), actor or starter(), reason or "")
    return deliver(back.update, dry_run=dry_run, origin=back.origin)
