"""Which of two deployments is the newer one: an older source commit must not replace a newer one by accident."""

import re
from collections.abc import Sequence
from pathlib import Path

from tasks.core import git
from tasks.core.errors import DeliveryError
from tasks.core.models import SHA_PATTERN, Environment

NEAR = 200
"""Source commits to look at before the whole history is fetched; commits alone, without their files."""

SOURCE = re.compile(rf"^Source SHA: ({SHA_PATTERN})$", re.MULTILINE)


def deployments(messages: Sequence[str], environment: Environment) -> list[str]:
    """The source commits that an environment got, by the GitOps branch's commit messages, in their order."""
    subject = f"chore({environment}): update flowise images to "
    found = (SOURCE.search(message) for message in messages if message.startswith(subject))
    return [sha[1] for sha in found if sha]


def is_older(sha: str, deployed: Sequence[str], source: git.Remote | None, folder: Path) -> bool:
    """Whether a source commit comes before the one that was deployed last.

    The source repository's history decides where it can be asked; else a commit is older when it was deployed
    before and something else has been deployed since.

    Args:
        sha: the commit to deploy.
        deployed: what was deployed, newest first; not empty.
        source: the source repository, if it is known here.
        folder: where its commits may be fetched to; must not exist yet.
    """
    newest, *earlier = deployed
    if _same(sha, newest):
        return False
    if source and git.FULL_SHA.fullmatch(sha) and git.FULL_SHA.fullmatch(newest):
        try:
            return is_ancestor(source, sha, newest, folder)
        except DeliveryError:
            pass  # an update must not depend on the source repository being there
    return any(_same(sha, other) for other in earlier)


def _same(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def is_ancestor(source: git.Remote, sha: str, newest: str, folder: Path) -> bool:
    """Whether a commit comes before another one, by their repository; commits alone are fetched, into ``folder``.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    git.init(folder, source)
    fetch = ("fetch", "-q", "--no-tags", "--filter=tree:0")
    git.run(source, *fetch, f"--depth={NEAR}", "origin", sha, newest, directory=folder)
    if _reaches(source, newest, sha, folder):
        return True
    if _reaches(source, sha, newest, folder):
        return False
    if (folder / "shallow").exists():
        git.run(source, *fetch, "--unshallow", "origin", sha, newest, directory=folder)
    return _reaches(source, newest, sha, folder)


def _reaches(source: git.Remote, newer: str, older: str, folder: Path) -> bool:
    return not git.run(source, "rev-list", "-1", older, f"^{newer}", directory=folder).strip()
