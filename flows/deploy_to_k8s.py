"""The flow ``deploy-to-k8s``, which mirrors the workflow of that name in the Flowise repository."""

from typing import cast

from prefect.futures import wait
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.outcome import concluded, refresh_status
from flows.update_flowise_deployment import update_flowise_deployment
from tasks.approval import ask, asked_before, handed_over, needed
from tasks.build_image import build_server, build_ui
from tasks.clients import files_elsewhere, source_repository
from tasks.core.build.context import Source, checkout
from tasks.core.errors import UpdateFailed
from tasks.core.models import (
    IMAGES,
    Approval,
    BuiltImage,
    DeployPlan,
    DeployResult,
    Environment,
    ImageUpdate,
    NodeVersion,
    OptionalLine,
    OptionalTag,
    Ref,
    Target,
    Transport,
    UpdateResult,
    UpdateRun,
)
from tasks.core.settings import load
from tasks.core.system.interruption import work_ends_with_it
from tasks.dispatch import dispatch
from tasks.follow import follow
from tasks.get_digest import get_digest
from tasks.plan_image import plan_image
from tasks.runtime.cancellation import said_if_stopped
from tasks.runtime.flow import flow
from tasks.runtime.skipped import value_of
from tasks.runtime.starter import starter
from tasks.set_env import set_env
from tasks.summary import summarize_deploy, summarize_plan
from tasks.tag_latest import tag_latest
from tasks.update_kustomization import update_kustomization

BUILDING = (
    "Stopped. Nothing is written to the GitOps repository; an image that was pushed already is found by the next run."
)
KEPT = "This run goes on with the commit that %s was when it began. To deploy the newest commit, start a new run."
NO_RUN = "No run of update-flowise-deployment has come of the event."
TRIGGER = "Its trigger is made by `prefect --no-prompt deploy --all`, and must be switched on under Automations."


@flow(name="deploy-to-k8s", flow_run_name="{environment} {ref}")
@concluded
def deploy_to_k8s(  # noqa: PLR0913 - the flow's contract
    environment: Environment = "dev",
    ref: Ref = "main",
    node_version: NodeVersion = "20",
    tag_version: OptionalTag = None,
    dispatch_via: Transport | None = None,
    force: bool = False,
    actor: OptionalLine = None,
    dry_run: bool = False,
) -> DeployResult | DeployPlan:
    """Build both images of a commit, push them, and have their digests written into the GitOps repository.

    Args:
        environment: Where the images go.
        ref: Branch, tag or commit of the source repository, such as main, v1.2.0 or f3a21bc.
        node_version: Version of Node.js, the Dockerfiles' NODE_VERSION.
        tag_version: Goes in front of the tag, such as v1.2.0 in v1.2.0-f3a21bc; letters, digits and . _ - alone.
        dispatch_via: How the second flow is reached; None for the setting DISPATCH_VIA.
        force: Build again what was built before, and replace a newer source commit by an older one.
        actor: Who asked for it, such as Lan; empty for who started the run.
        dry_run: Only show which images would be built and which commits would arrive; nothing is pushed or sent.

    Raises:
        tasks.core.errors.DeliveryError: what went wrong, with a hint.
    """
    if flow_run.run_count > 1:  # Retry in the UI, or an operator's answer
        get_run_logger().info(KEPT, ref)
    settings = load()
    settings.require("source_repo", "gitops_repo", "ecr_registry")
    via = dispatch_via or settings.dispatch_via
    target = set_env(environment, ref, node_version, tag_version)
    if dry_run:
        return plan(target, force)
    with (
        said_if_stopped(BUILDING),
        checkout(source_repository(settings), target.sha, settings.work_dir, files_elsewhere(settings)) as source,
        work_ends_with_it(),
    ):
        server, ui = build_images(target, source, force and not asked_before())
    server, ui = tag_latest(target, server, ui)
    update = image_update(target, server, ui, actor or starter())
    dispatch(update, via, force)
    result = DeployResult(
        environment=environment,
        tag=target.tag,
        sha=target.sha,
        server=server,
        ui=ui,
        dispatched_via=via,
        update=update_inline(update, force) if via == "inline" else None,
        update_run=event_run(update, settings.dispatch_wait > 0, force) if via == "prefect-event" else None,
    )
    summarize_deploy(result)
    return result


def plan(target: Target, force: bool) -> DeployPlan:
    """Tell what a delivery would do."""
    settings = load()
    with checkout(source_repository(settings), target.sha, settings.work_dir, files_elsewhere(settings)) as source:
        server, ui = (plan_image(image, target, source, force) for image in IMAGES)
    update = ImageUpdate.parse(
        environment=target.environment,
        tag=target.tag,
        sha=target.sha,
        server_digest=server.digest,
        ui_digest=ui.digest,
    )
    planned = value_of(update_kustomization(update, force, dry_run=True))
    result = DeployPlan(
        environment=target.environment, tag=target.tag, sha=target.sha, server=server, ui=ui, update=planned
    )
    summarize_plan(update, result)
    return result


def build_images(target: Target, source: Source, force: bool) -> list[BuiltImage]:
    """Both images, found or built side by side and confirmed by the registry; what it has lost since is built again."""
    tasks = [build_server, build_ui]
    builds = [build.with_options(refresh_cache=force).submit(target, source, force) for build in tasks]
    wait(builds)  # also where one fails: the other one reads from the same source
    digests = [get_digest.submit(build.result(), target) for build in builds]
    return [
        # What this run itself has built is there, or get_digest raises.
        digest.result()
        or cast(BuiltImage, get_digest(value_of(build.with_options(refresh_cache=True)(target, source)), target))
        for digest, build in zip(digests, tasks, strict=True)
    ]


def image_update(target: Target, server: BuiltImage, ui: BuiltImage, actor: str) -> ImageUpdate:
    """Write the message to the second flow."""
    return ImageUpdate.parse(
        environment=target.environment,
        tag=target.tag,
        sha=target.sha,
        server_digest=server.digest,
        ui_digest=ui.digest,
        actor=actor,
        workflow_run_id=flow_run.id,
    )


def event_run(update: ImageUpdate, awaited: bool, force: bool = False) -> UpdateRun | None:
    """Return the second flow's run. If there is none, send the event once more: a server that was stopped right after
    it took one has lost it, and the same event twice is one update.

    Raises:
        UpdateFailed: the run did not do what it was to do, or is waited for and does not come.
    """
    if run := follow(update):
        return run
    dispatch(update, "prefect-event", force)
    run = follow(update)
    if not run and awaited:
        raise UpdateFailed(NO_RUN, TRIGGER)
    if not run:
        get_run_logger().warning("%s %s", NO_RUN, TRIGGER)
    return run


def update_inline(update: ImageUpdate, force: bool) -> UpdateResult:
    """Run the second flow as a subflow."""
    with handed_over(approved(update, force)):
        result: UpdateResult = update_flowise_deployment(**update.model_dump(), force=force)
    return result


def approved(update: ImageUpdate, force: bool) -> Approval | None:
    """Ask for the approval that the second flow begins with: Prefect can't suspend a subflow."""
    approval = needed(update.environment)
    if not approval:
        return None
    planned = value_of(update_kustomization(update, force, approval=approval))
    return ask(update, planned, refresh_status) if planned.pending else approval
