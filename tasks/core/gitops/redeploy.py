"""The update that deploys once more what was deployed before, for rollbacks and promotions."""

from collections.abc import Sequence

from tasks.core.errors import InvalidInput
from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.repository import GitOps
from tasks.core.models import Environment, ImageRef, ImageUpdate


def update_as_deployed(
    repository: GitOps,
    deployment: Deployment,
    images: Sequence[ImageRef],
    environment: Environment,
    *,
    actor: str,
    run: str,
) -> tuple[ImageUpdate, tuple[ImageRef, ...]]:
    """Return the update that deploys to an environment what was deployed before, and its entries as they were.

    Args:
        repository: where the overlays are.
        deployment: what was deployed.
        images: what the overlay named then.
        environment: where it is to go.
        actor: who asks for it.
        run: the run that does.

    Raises:
        InvalidInput: the overlay named an image without a tag or a digest, or not at all.
    """
    named = {image.name: image for image in images if image.tag or image.digest}
    names = repository.images.entries(named)
    missing = [name for name in names if name not in named]
    if missing:
        raise InvalidInput(
            f"Commit {deployment.commit[:7]} deployed {deployment.tag} to {deployment.environment} "
            f"without a version of {' and '.join(missing)}.",
            "It is not known what ran then: choose another deployment.",
        )
    entries = {image: named[spec.name] for image, spec in repository.images.specs.items()}
    digests = {f"{image}_digest": entry.digest for image, entry in entries.items()}
    update = ImageUpdate.parse(
        environment=environment,
        tag=deployment.tag,
        sha=deployment.sha,
        actor=actor,
        workflow_run_id=run,
        **digests,
    )
    return update, tuple(entries.values())
