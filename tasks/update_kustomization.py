"""The task ``update-kustomization``: new images into the overlay, as one commit on the GitOps branch."""

from prefect import task
from prefect.logging import get_run_logger

from tasks.clients import github, overlays
from tasks.core.gitops import writer
from tasks.core.models import Approval, ImageUpdate, Origin, UpdateResult
from tasks.core.settings import load
from tasks.core.text import plain
from tasks.runtime.retries import RETRIES
from tasks.runtime.skipped import skipped


@task(
    name="update-kustomization",
    task_run_name="update-kustomization {update.environment} {update.tag}",
    timeout_seconds=1800,
    **RETRIES,
)
def update_kustomization(
    update: ImageUpdate,
    force: bool = False,
    dry_run: bool = False,
    approval: Approval | None = None,
    origin: Origin | None = None,
) -> UpdateResult:
    """Write the update's images into its environment's overlay, commit and push; no commit where nothing changes.

    Args:
        update: what to write.
        force: also replace a newer source commit by an older one.
        dry_run: only tell what would be written.
        approval: who approved which changes, other ones are not written; ``None`` where nobody has to.
        origin: where the images come from, if nothing was built for the update.

    Raises:
        InvalidInput, NotFound: the overlay isn't there, or is no kustomization; nothing was changed.
        PushRefused, AccessDenied, Unavailable, LostRace: as the git server answers.
    """
    settings, logger = load(), get_run_logger()
    settings.require("ecr_registry")
    if update.environment in settings.pull_requests and not dry_run:
        github(settings, settings.gitops_repo)  # a branch that nobody can be asked to merge is not pushed
    result = writer.write(
        overlays(settings, update.environment),
        update,
        settings.ecr_registry,
        logger.info,
        force=force,
        dry_run=dry_run,
        approval=approval,
        origin=origin,
    )
    for warning in result.warnings:
        logger.warning(plain(warning))
    logger.info(plain(_outcome(result)))
    return result if result.diff else skipped(result.skipped or "Nothing to commit.", result)


def _outcome(result: UpdateResult) -> str:
    if result.skipped:
        return f"Skipped: {result.skipped}"
    if not result.diff:
        return f"{result.overlay_path} is up to date at {result.commit}: nothing to commit"
    objects = "".join(f"{each.object} {each.effect}\n" for each in result.objects)
    if result.proposed:
        done = f"Proposed by {result.commit}"
    elif result.changed:
        done = f"Pushed {result.commit}"
    else:
        done = "To be approved, nothing is written yet" if result.pending else "Dry run, nothing is written"
    return f"{done}:\n{objects}{result.diff}"
