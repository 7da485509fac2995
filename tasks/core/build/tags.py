"""The tags of an image in the registry, pointed at its digest."""

from collections.abc import Callable, Sequence

from tasks.core.build.inputs import PREFIX
from tasks.core.errors import Conflict, LimitReached
from tasks.core.registry.oci import MOVING, Registry


def point_tags(
    registry: Registry, repository: str, digest: str, tags: Sequence[str], log: Callable[[str], None]
) -> tuple[str, ...]:
    """Make these tags mean this digest, without sending a layer, and return those that do.

    Where the repository's tags are immutable, ``latest`` and the tag of an image's inputs stay as they are, with a line
    in the log; so do all tags where the registry takes no more of them for one image.

    Raises:
        NotFound: the registry does not have the digest.
        Conflict: another tag is immutable and means another image.
        AccessDenied, Unavailable: as the registry answers.
    """
    return tuple(tag for tag in tags if _point(registry, repository, digest, tag, log))


def _point(registry: Registry, repository: str, digest: str, tag: str, log: Callable[[str], None]) -> bool:
    if registry.digest(repository, tag) == digest:
        return True
    try:
        registry.add_tag(repository, digest, tag)
    except LimitReached as limit:  # what is deployed is the digest
        log(f"{limit.message} {limit.hint}")
        return False
    except Conflict as conflict:
        # Inputs get another image only where one was built again on purpose: the one before is as good.
        if tag != MOVING and not tag.startswith(PREFIX):
            raise
        log(f"{conflict.message} It stays as it is.")
        return False
    log(f"Tagged {registry.host}/{repository}:{tag}")
    return True
