"""From a ref to what is deployed: the commit, and the tag its images get."""

import re
from pathlib import Path

from tasks.core import git
from tasks.core.errors import InvalidInput
from tasks.core.models import TAG_PATTERN, Environment, Target
from tasks.core.system.temp_dir import temp_dir

SHORT = 7
"""Characters of a sha in a tag, as in the user's workflow."""


def target(  # noqa: PLR0913 - not grouped yet
    where: git.Remote,
    environment: Environment,
    ref: str,
    node_version: str,
    tag_version: str | None,
    work_dir: Path,
    usual_node: str = "20",
) -> Target:
    """Resolve ``ref`` in the source repository and name its images.

    Images for another Node.js version than the usual one have tags of their own: two versions of one commit never
    compete for a tag.

    Raises:
        InvalidInput: ``ref`` or ``tag_version`` cannot be one.
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    prefix, suffix = (
        f"{tag_version}-" if tag_version else "",
        "" if node_version == usual_node else f"-node{node_version}",
    )
    # A version leaves room for the sha.
    if not re.fullmatch(TAG_PATTERN, f"{prefix}{'0' * SHORT}{suffix}"):
        raise InvalidInput(
            f"tag_version {(tag_version or '')[:150]!r} does not make a tag.",
            "Use letters, digits, dots, dashes and underscores, such as v1.2.0.",
        )
    with temp_dir(work_dir) as folder:
        sha = git.resolve(where, ref, folder / "refs.git")
    tag = f"{prefix}{sha[:SHORT]}{suffix}"
    return Target(environment=environment, sha=sha, tag=tag, node_version=node_version, suffix=suffix)


def is_newest(where: git.Remote, target: Target) -> bool:
    """Return whether the commit is the head of the repository's default branch, and built for the usual Node.js.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    return not target.suffix and git.resolve(where, "HEAD", Path()) == target.sha
