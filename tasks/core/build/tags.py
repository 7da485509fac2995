"""The tags of an image in the registry, pointed at its digest."""

from collections.abc import Callable, Sequence

from tasks.core.errors import Conflict, LimitReached
from tasks.core.registry.oci import Registry


def point_tags(
    registry: Registry,
    repository: str,
    digest: str,
    tags: Sequence[str],
    log: Callable[[str], None],
    *,
    claimed: str = "",
) -> tuple[str, ...]:
    """Make these tags mean this digest, without sending a layer, and return those that do.

    What is deployed is the digest. So a tag that is immutable and means another image stays as it is, with a line in
    the log, and so do all tags where the registry takes no more of them for one image.

    Args:
        registry: where the image is.
        repository: its repository there.
        digest: its digest.
        tags: the tags.
        log: is called with each line.
        claimed: the one of them that must not mean another image.

    Raises:
        NotFound: the registry does not have the digest.
        Conflict: the claimed tag is immutable and means another image.
        AccessDenied, Unavailable: as the registry answers.
    """
    return tuple(tag for tag in tags if _point(registry, repository, digest, tag, log, tag == claimed))


def _point(
    registry: Registry, repository: str, digest: str, tag: str, log: Callable[[str], None], claimed: bool
) -> bool:
    if registry.digest(repository, tag) == digest:
        return True
    try:
        registry.add_tag(repository, digest, tag)
    except LimitReached as limit:  # what is deployed is the digest
        log(f"{limit.message} {limit.hint}")
        return False
    except Conflict as conflict:
        if claimed:
            raise
        log(f"{conflict.message} It stays as it is.")
        return False
    log(f"Tagged {registry.host}/{repository}:{tag}")
    return True
