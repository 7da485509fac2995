"""What runs in one environment, on its way to the next: the same digests, nothing built."""

from datetime import UTC, datetime

from tasks.core.errors import InvalidInput, NotFound, NotProven
from tasks.core.gitops import overlay
from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.redeploy import update_as_deployed
from tasks.core.gitops.repository import GitOps, on_branch
from tasks.core.models import Environment, Move, Origin


def running(
    repository: GitOps, environment: Environment, to: Environment, *, actor: str, run: str
) -> tuple[Move, Deployment]:
    """Return the move that brings one environment's images to another one, and the deployment that brought them there.

    Raises:
        NotFound: there is no deployment to it, or no such overlay.
        InvalidInput: its overlay does not say what was deployed last, or names an image without a version.
    """
    with on_branch(repository.on(environment)) as branch:
        deployed = repository.ledger(branch).newest(environment)
        if not deployed:
            raise NotFound(f"{environment} has no deployment yet.", f"Deploy to {environment} first.")
        folder = overlay.overlay_of(repository.overlays, environment)
        if overlay.changed_by_hand(branch, folder, deployed[0].arrived, repository.images):
            raise _by_hand(deployed[0])
        images = overlay.images_at(branch, folder)
    update, entries = update_as_deployed(repository, deployed[0], images, to, actor=actor, run=run)
    origin = Origin(images=entries, promoted_from=_words(deployed[0]), since=deployed[0].at)
    return Move(update=update, origin=origin), deployed[0]


def _by_hand(deployment: Deployment) -> InvalidInput:
    return InvalidInput(
        f"The overlay of {deployment.environment} was changed by hand since {deployment.commit[:7]} deployed "
        f"{deployment.tag}: it is not known which source commit its images are of.",
        f"Deploy to {deployment.environment} again, and promote that.",
    )


def check_soak(deployment: Deployment, seconds: int, now: datetime | None = None) -> None:
    """Make sure that a deployment is where it is for long enough.

    Raises:
        NotProven: it is not.
    """
    there = ((now or datetime.now(UTC)) - deployment.at).total_seconds()
    if there < seconds:
        raise NotProven(
            f"{deployment.tag} is in {deployment.environment} for {there:.0f} seconds, "
            f"and SOAK_SECONDS asks for {seconds}.",
            f"Promote it in {seconds - there:.0f} seconds, or with force.",
        )


def _words(deployment: Deployment) -> str:
    return f"{deployment.environment} {deployment.commit}"
