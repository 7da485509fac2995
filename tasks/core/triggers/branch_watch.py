"""Whether a branch of the source repository has something new: its head, and what changed since another commit."""

import hashlib
import re
from pathlib import Path

from pydantic import ValidationError

from tasks.core import git
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.models import Value
from tasks.core.system.temp_dir import temp_dir


class Seen(Value):
    """What is remembered between two looks: the head, and the run that was started last, if any was."""

    sha: str
    flow_run: str | None = None

    @classmethod
    def read(cls, kept: object, name: str) -> "Seen":
        """Return what was remembered under a name.

        Raises:
            InvalidInput: it is something else.
        """
        try:
            return cls.model_validate(kept)
        except ValidationError:
            raise InvalidInput(
                f"The Prefect variable {name} is not what watch-source left there.",
                "Delete it: the branch's head is deployed then, as on the first look.",
            ) from None


class WatchResult(Value):
    """What one look at the source branch led to.

    ``changed`` are the new or changed files that matter, ``flow_run`` the run that was started for ``sha``;
    ``reason`` says why it was, or why none was.
    """

    branch: str
    sha: str
    changed: tuple[str, ...] = ()
    flow_run: str | None = None
    reason: str


def variable_name(repository: str, branch: str) -> str:
    """Where a branch's last seen head is kept; Prefect allows small letters, digits and underscores."""
    known = hashlib.sha256(f"{repository}\n{branch}".encode()).hexdigest()[:8]
    return f"watch_source_{re.sub('[^a-z0-9]+', '_', branch.lower())[:100]}_{known}"


def run_key(seen: Seen | None, sha: str) -> str:
    """Return the idempotency key of the run for a new head: the same until it is remembered, and never again.

    Not the sha alone: a branch that is set back to an earlier commit is to be deployed again.
    """
    return f"watch-source-{sha}-after-{(seen and seen.flow_run) or 'none'}"


def head(where: git.Remote, branch: str) -> str:
    """Return the full sha of a branch's head; nothing is fetched.

    Raises:
        InvalidInput: not a name git allows.
        NotFound: there is no such branch.
        AccessDenied, Unavailable: as the git server answers.
    """
    git.check_ref(branch)
    ref = f"refs/heads/{branch}"
    for line in git.run(where, "ls-remote", "--", where.url, ref).split("\n"):
        sha, _, name = line.partition("\t")
        if name == ref:
            return sha
    raise NotFound(f"{where.url} has no branch {branch}.", "Check SOURCE_BRANCH.")


def changed_files(where: git.Remote, old: str, new: str, work_dir: Path) -> list[str] | None:
    """Return the files in which two commits differ; folders alone are fetched for it, neither files nor history.

    Returns:
        Their paths; ``None`` where the server has not got both commits (any more).

    Raises:
        AccessDenied, Unavailable: as the git server answers.
    """
    fetch = ("fetch", "-q", "--depth=1", "--filter=blob:none", "--no-tags", "origin", old, new)
    with temp_dir(work_dir) as folder:
        repository = folder / "watch.git"
        git.init(repository, where)
        try:
            git.run(where, *fetch, directory=repository)
        except NotFound:
            return None
        # Not renames: they are looked for in the files, which would all be fetched.
        differ = ("diff-tree", "-r", "--name-only", "--no-renames", "-z", old, new)
        return git.run(where, *differ, directory=repository).split("\0")[:-1]
