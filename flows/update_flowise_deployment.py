"""The flow ``update-flowise-deployment``, which mirrors the workflow of that name in the DevOps repository."""

from flows.delivery import deliver
from flows.outcome import concluded
from tasks.core.models import (
    Environment,
    ImageUpdate,
    OptionalDigest,
    OptionalLine,
    OptionalSha,
    Tag,
    UpdateResult,
)
from tasks.core.settings import load
from tasks.runtime.flow import flow


@flow(name="update-flowise-deployment", flow_run_name="{environment} {tag}")
@concluded
def update_flowise_deployment(  # noqa: PLR0913 - the flow's contract
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
        tag: The images' tag, such as f3a21bc or v1.2.0-f3a21bc; used where there is no digest.
        sha: The source commit the images were built from, 7 to 40 characters such as f3a21bc.
        server_digest: Digest of flowise-server, sha256: and 64 characters; empty to deploy by tag.
        ui_digest: Digest of flowise-ui, in the same way.
        actor: Who asked for it, such as Lan.
        workflow_run_id: The run that built the images; empty for this run.
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
    return deliver(update, force=force, dry_run=dry_run)
