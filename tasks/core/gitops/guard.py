"""What may replace a deployment: no older source commit, none that was rolled back, and no rollback of another one."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.core import git
from tasks.core.errors import DeliveryError, NotFound
from tasks.core.gitops.ledger import Deployment
from tasks.core.models import ImageUpdate, Origin

NEAR = 200
"""Source commits to look at before the whole history is fetched; commits alone, without their files."""

SOURCE_SECONDS = 60.0
"""Seconds that one question to the source repository may take, before the GitOps history decides."""

FORCE = "Nothing was written; deploy with force to do it anyway."


@dataclass(frozen=True)
class Evidence:
    """What tells which of two commits is newer.

    Args:
        deployed: the environment's deployments, newest first, and those that the newest took back.
        further: tells of those before the newest, too, where it matters what was deployed earlier.
        source: the source repository, if it is known here.
        folder: for a copy of its commits.
    """

    deployed: Sequence[Deployment]
    further: Callable[[], Sequence[Deployment]]
    source: git.Remote | None
    folder: Path


def objection(update: ImageUpdate, origin: Origin | None, evidence: Evidence, *, force: bool = False) -> str:
    """Why an update must not replace what is deployed; empty where it may.

    Args:
        update: what is to be deployed.
        origin: where it comes from, if nothing was built for it.
        evidence: what tells.
        force: whether only objections count that force can't overrule.
    """
    if origin and origin.restores:
        return _overtaken(origin, evidence.deployed)
    if force or not update.sha:
        return ""
    return _rolled_back(update, update.sha, evidence.deployed) or _step_back(update, update.sha, evidence)


def _overtaken(origin: Origin, deployed: Sequence[Deployment]) -> str:
    """Object to a rollback of what is no longer there."""
    expected = origin.rolls_back or origin.restores
    if not deployed or deployed[0].commit == expected:
        return ""
    newest = deployed[0]
    return (
        f"{newest.environment} got {newest.tag} by commit {newest.commit[:7]} meanwhile, "
        f"after {expected[:7]}, which was to be rolled back. Nothing was written."
    )


def _rolled_back(update: ImageUpdate, sha: str, deployed: Sequence[Deployment]) -> str:
    """Object to what was rolled back when it was last there: a repeated event, or a watcher, must not bring it back."""
    last = _of_commit(sha, deployed)
    back = next((each for each in deployed if last and each.rolls_back == last.commit), None)
    if not back:
        return ""
    why = f": {back.reason.rstrip('.')}" if back.reason else ""
    return f"{update.tag} was rolled back in {update.environment} by commit {back.commit[:7]}{why}. {FORCE}"


def _step_back(update: ImageUpdate, sha: str, evidence: Evidence) -> str:
    """Object to what is older than what is there.

    The source repository's history decides where it can be asked; else a commit is older when it was deployed
    before and something else has been deployed since.
    """
    newest = next((each for each in evidence.deployed if each.sha), None)
    if not newest or _same(sha, newest.sha):
        return ""
    older = _is_older(sha, newest, evidence.source, evidence.folder) if evidence.source else None
    if older is None:
        older = _of_commit(sha, evidence.further()) is not None
    newer = f"{update.environment} has the newer source commit {newest.sha[:7]}"
    return f"{newer}: {update.tag} would be a step back. {FORCE}" if older else ""


def _of_commit(sha: str, deployed: Sequence[Deployment]) -> Deployment | None:
    """Return the newest deployment of a source commit."""
    return next((each for each in deployed if each.sha and _same(sha, each.sha)), None)


def _same(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _is_older(sha: str, newest: Deployment, source: git.Remote, folder: Path) -> bool | None:
    """Ask the source repository; ``None`` if it can't say: an update must not depend on its being there."""
    asked = replace(source, timeout=min(source.timeout, SOURCE_SECONDS))
    try:
        return is_ancestor(asked, sha, newest.sha, Path(tempfile.mkdtemp(dir=folder), "source.git"))
    except DeliveryError:
        return None


def is_ancestor(source: git.Remote, sha: str, newest: str, folder: Path) -> bool:
    """Whether a commit comes before another one, by their repository; commits alone are fetched, into ``folder``.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
        InvalidInput: an abbreviated commit could be several.
    """
    if not (git.FULL_SHA.fullmatch(sha) and git.FULL_SHA.fullmatch(newest)):
        git.fetch_history(source, folder)
        return _reaches(source, _full(source, newest, folder), _full(source, sha, folder), folder)
    git.init(folder, source)
    if git.lent(source) and git.has(folder, sha, newest):
        return _reaches(source, newest, sha, folder)
    fetch = ("fetch", "-q", "--no-tags", "--filter=tree:0")
    try:
        git.run(source, *fetch, f"--depth={NEAR}", "origin", sha, newest, directory=folder)
    except NotFound as error:
        if not git.only_by_name(error):
            raise
        git.fetch_history(source, folder)
        return _reaches(source, _full(source, newest, folder), _full(source, sha, folder), folder)
    if _reaches(source, newest, sha, folder):
        return True
    if _reaches(source, sha, newest, folder):
        return False
    if (folder / "shallow").exists():
        git.run(source, *fetch, "--unshallow", "origin", sha, newest, directory=folder)
    return _reaches(source, newest, sha, folder)


def _full(source: git.Remote, sha: str, folder: Path) -> str:
    found = git.full_sha(source, sha, folder)
    if not found:
        raise NotFound(f"{source.url} has no commit {sha}.")
    return found


def _reaches(source: git.Remote, newer: str, older: str, folder: Path) -> bool:
    return not git.run(source, "rev-list", "-1", older, f"^{newer}", directory=folder).strip()
