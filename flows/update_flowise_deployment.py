"""The flow ``update-flowise-deployment``, which mirrors the workflow of that name in the DevOps repository."""

from prefect import flow
from prefect.states import Completed

from tasks.approval import ask, needed
from tasks.core.models import (
    Approval,
    Environment,
    ImageUpdate,
    OptionalDigest,
    OptionalLine,
    OptionalSha,
    Tag,
    UpdateResult,
)
from tasks.core.settings import load
from tasks.limits import one_run_in
from tasks.rollout import check_health, rollout
from tasks.summary import summarize_update
from tasks.update_kustomization import update_kustomization


@flow(name="update-flowise-deployment", flow_run_name="{environment} {tag}")
def update_flowise_deployment(
    environment: Environment,
    tag: Tag,
    sha: OptionalSha = None,
    server_digest: OptionalDigest = None,
    ui_digest: OptionalDigest = None,
    actor: OptionalLine = None,
    workflow_run_id: OptionalLine = None,
    force: bool = False,
    dry_run: bool = False,
) -> UpdateResult:
    """Write new images into an environment's overlay, by digest where there is one, else by tag; commit and push.

    Args:
        environment: The overlay to update.
        tag: The images' tag; used where there is no digest.
        sha: The source commit the images were built from.
        server_digest: Digest of flowise-server, sha256:...
        ui_digest: Digest of flowise-ui, sha256:...
        actor: Who asked for it.
        workflow_run_id: The run that built the images.
        force: Also replace a newer source commit by an older one.
        dry_run: Only show what would be written.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    load().require("gitops_repo", "ecr_registry")
    update = ImageUpdate.parse(
        environment=environment,
        tag=tag,
        sha=sha,
        server_digest=server_digest,
        ui_digest=ui_digest,
        actor=actor,
        workflow_run_id=workflow_run_id,
    )
    result = write(update, force, dry_run, approval=needed(environment))
    while result.pending:
        result = write(update, force, dry_run, approval=ask(update, result))
    if not result.skipped and not dry_run:
        result = roll_out(result)
    summarize_update(result)
    return Completed(name="Skipped", message=result.skipped, data=result) if result.skipped else result


def roll_out(result: UpdateResult) -> UpdateResult:
    """See the commit into the cluster, and its endpoint answer."""
    arrived = rollout(result)
    return result.model_copy(update={"rollout": arrived.model_copy(update={"endpoint": check_health(result)})})


def write(update: ImageUpdate, force: bool, dry_run: bool, approval: Approval | None) -> UpdateResult:
    """Commit the update, unless it is none, a step back or not approved; nobody waits for the environment meanwhile."""
    with one_run_in(update.environment):
        return update_kustomization(update, force, dry_run, approval)
