"""The task ``update-kustomization``: new images into the overlay, as one commit on the GitOps branch."""

from contextlib import closing
from dataclasses import replace
from functools import partial

from prefect import task
from prefect.logging import get_run_logger

from tasks.clients import github, overlays, registry
from tasks.core.errors import AccessDenied, NotFound, Unavailable
from tasks.core.gitops import writer
from tasks.core.models import Approval, ImageRef, ImageUpdate, Origin, UpdateResult
from tasks.core.settings import Settings, load
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
        approval: who approved which changes, other ones are not written; ``None`` if no approval is needed.
        origin: where the images come from, if nothing was built for the update.

    Raises:
        InvalidInput: the overlay isn't a kustomization, or an image is in an unknown registry; nothing was changed.
        NotFound: the overlay isn't there, or an image isn't in its registry; nothing was changed.
        PushRefused, AccessDenied, Unavailable, LostRace: as the git server answers.
    """
    settings, logger = load(), get_run_logger()
    settings.require("ecr_registry")
    repository = replace(overlays(settings, update.environment), check_image=partial(_check_there, settings))
    if repository.propose and not dry_run:  # without a pull request the branch isn't pushed
        hub = github(settings, settings.gitops_repo)
        open_now = hub.under_review(settings.names.proposal(update.environment), repository.branch)
        repository = replace(repository, under_review=open_now)
    result = writer.write(
        repository,
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


def _check_there(settings: Settings, image: ImageRef) -> None:
    """Make sure that an image is in its registry; one that can't be asked is no reason to stop."""
    host, _, repository = (image.new_name or image.name).partition("/")
    if not (image.digest and repository and {".", ":"} & set(host)):  # a name that says no registry
        return
    try:
        with closing(registry(settings, host, timeout=10)) as there:
            found = there.digest(repository, image.digest)
    except (AccessDenied, Unavailable) as error:
        get_run_logger().warning("Not checked that %s is in its registry: %s", image, error.message)
        return
    if not found:
        raise NotFound(
            f"{host} has no image {repository}@{image.digest}.",
            "Nothing was written. Build it again, or choose another deployment.",
        )


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
