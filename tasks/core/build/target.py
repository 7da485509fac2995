"""From a ref to what is deployed: the commit, and the tag its images get."""

import re
from pathlib import Path

from tasks.core import git
from tasks.core.errors import InvalidInput
from tasks.core.models import TAG_PATTERN, Environment, Target
from tasks.core.system.temp_dir import temp_dir

SHORT = 7
"""Characters of a sha in a tag, as in the user's workflow."""


def target(
    where: git.Remote,
    environment: Environment,
    ref: str,
    node_version: str,
    tag_version: str | None,
    work_dir: Path,
) -> Target:
    """Resolve ``ref`` in the source repository and name its images.

    Raises:
        InvalidInput: ``ref`` or ``tag_version`` cannot be one.
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    prefix = f"{tag_version}-" if tag_version else ""
    # A version leaves room for the sha.
    if not re.fullmatch(TAG_PATTERN, f"{prefix}{'0' * SHORT}"):
        raise InvalidInput(
            f"tag_version {(tag_version or '')[:150]!r} does not make a tag.",
            "Use letters, digits, dots, dashes and underscores, such as v1.2.0.",
        )
    with temp_dir(work_dir) as folder:
        sha = git.resolve(where, ref, folder / "refs.git")
    return Target(environment=environment, sha=sha, tag=f"{prefix}{sha[:SHORT]}", node_version=node_version)
