"""The task ``update-kustomization``: new images into the overlay, as one commit on the GitOps branch."""

from prefect import task
from prefect.logging import get_run_logger

from tasks.connections import gitops_repository
from tasks.core import gitops
from tasks.core.models import ImageUpdate, UpdateResult
from tasks.core.settings import load
from tasks.policy import RETRIES


@task(
    name="update-kustomization",
    task_run_name="update-kustomization {update.environment} {update.tag}",
    timeout_seconds=1800,
    **RETRIES,
)
def update_kustomization(update: ImageUpdate) -> UpdateResult:
    """Write the update's images into its environment's overlay, commit and push; no commit where nothing changes.

    Raises:
        InvalidInput, NotFound: the overlay isn't there, or is no kustomization; nothing was changed.
        PushRefused, AccessDenied, Unavailable, LostRace: as the git server answers.
    """
    settings, log = load(), get_run_logger().info
    settings.require("ecr_registry")
    repository = gitops.GitOps(
        gitops_repository(settings), settings.gitops_branch, settings.overlays_path, settings.work_dir
    )
    result = gitops.write(repository, update, settings.ecr_registry, log)
    if result.changed:
        log("Pushed %s:\n%s", result.commit, result.diff)
    else:
        log("%s is up to date at %s: nothing to commit", result.overlay_path, result.commit)
    return result
