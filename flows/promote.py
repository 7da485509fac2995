"""The flow ``promote``: what runs in one environment goes to the next, by its digests; nothing is built."""

from flows.delivery import deliver
from flows.outcome import concluded
from tasks.core.models import Environment, OptionalLine, UpdateResult
from tasks.core.settings import load
from tasks.find_deployment import find_running
from tasks.rollout import check_running
from tasks.runtime.flow import flow
from tasks.runtime.starter import starter


@flow(name="promote", flow_run_name="promote to {environment}")
@concluded
def promote(
    environment: Environment = "staging", force: bool = False, dry_run: bool = False, actor: OptionalLine = None
) -> UpdateResult:
    """Write the images that run in the environment before into this one's overlay.

    Args:
        environment: Where they go; PROMOTION says where they come from.
        force: Promote also what is not healthy there or not there for long enough, and replace newer source commits.
        dry_run: Only show what would be written.
        actor: Who asked for it; who started the run, where empty.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    load().require("gitops_repo", "ecr_registry")
    move, deployment = find_running(environment, actor or starter(), force)
    if not force:
        check_running(deployment, move.origin.images)
    return deliver(move.update, force=force, dry_run=dry_run, origin=move.origin)
