"""From a ref to what is deployed: the commit, and the tag its images get."""

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.core import git
from tasks.core.errors import InvalidInput
from tasks.core.models import TAG_PATTERN, Environment, Target
from tasks.core.system.temp_dir import temp_dir

SHORT = 7
"""Characters of a sha in a tag, as in the user's workflow."""


@dataclass(frozen=True)
class Node:
    """The Node.js version that images are built for, and the usual one."""

    version: str
    usual: str = "20"

    @property
    def suffix(self) -> str:
        """What tags end with: two versions of one commit never compete for a tag."""
        return "" if self.version == self.usual else f"-node{self.version}"


def target(
    where: git.Remote, environment: Environment, ref: str, node: Node, tag_version: str | None, work_dir: Path
) -> Target:
    """Resolve ``ref`` in the source repository and name its images.

    Args:
        where: the source repository.
        environment: where the images go.
        ref: branch, tag or commit.
        node: the Node.js version.
        tag_version: goes in front of the tag.
        work_dir: where fetched commits may live meanwhile.

    Raises:
        InvalidInput: ``ref`` or ``tag_version`` cannot be one.
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    prefix = f"{tag_version}-" if tag_version else ""
    # A version leaves room for the sha.
    if not re.fullmatch(TAG_PATTERN, f"{prefix}{'0' * SHORT}{node.suffix}"):
        raise InvalidInput(
            f"tag_version {(tag_version or '')[:150]!r} does not make a tag.",
            "Use letters, digits, dots, dashes and underscores, such as v1.2.0.",
        )
    with temp_dir(work_dir) as folder:
        sha = git.resolve(where, ref, folder / "refs.git")
    tag = f"{prefix}{sha[:SHORT]}{node.suffix}"
    return Target(environment=environment, sha=sha, tag=tag, node_version=node.version, suffix=node.suffix)


def is_newest(where: git.Remote, target: Target) -> bool:
    """Return whether the commit is the head of the repository's default branch, and built for the usual Node.js.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    return not target.suffix and git.resolve(where, "HEAD", Path()) == target.sha
