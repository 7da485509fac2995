"""What may replace a deployment: no older source commit, none that was rolled back, and no rollback of another one."""

from collections.abc import Sequence
from pathlib import Path

from tasks.core import git
from tasks.core.errors import DeliveryError
from tasks.core.ledger import Deployment
from tasks.core.models import ImageUpdate, Origin

NEAR = 200
"""Source commits to look at before the whole history is fetched; commits alone, without their files."""


FORCE = "Nothing was written; deploy with force to do it anyway."


def objection(
    update: ImageUpdate,
    origin: Origin | None,
    deployed: Sequence[Deployment],
    source: git.Remote | None,
    folder: Path,
    *,
    force: bool = False,
) -> str:
    """Why an update must not replace what is deployed; empty where it may.

    Args:
        update: what is to be deployed.
        origin: where it comes from, if nothing was built for it.
        deployed: the environment's deployments, newest first.
        source: the source repository, if it is known here.
        folder: for a copy of its commits.
        force: whether only that counts which nobody can want.
    """
    if origin and origin.restores:
        return _overtaken(origin, deployed)
    if force or not update.sha:
        return ""
    return _step_back(update, update.sha, deployed, source, folder) or _rolled_back(update, update.sha, deployed)


def _overtaken(origin: Origin, deployed: Sequence[Deployment]) -> str:
    """A rollback of what is no longer there."""
    if not deployed or deployed[0].commit == origin.rolls_back:
        return ""
    newest = deployed[0]
    return (
        f"{newest.environment} got {newest.tag} by commit {newest.commit[:7]} meanwhile, "
        f"after {origin.rolls_back[:7]}, which was to be rolled back. Nothing was written."
    )


def _step_back(
    update: ImageUpdate, sha: str, deployed: Sequence[Deployment], source: git.Remote | None, folder: Path
) -> str:
    known = [each.sha for each in deployed if each.sha]
    if not known or not is_older(sha, known, source, folder / f"source-{deployed[0].commit}.git"):
        return ""
    newer = f"{update.environment} has the newer source commit {known[0][:7]}"
    return f"{newer}: {update.tag} would be a step back. {FORCE}"


def _rolled_back(update: ImageUpdate, sha: str, deployed: Sequence[Deployment]) -> str:
    """The very commit that was rolled back last: a repeated event, or a watcher, must not bring it back."""
    back = next((each for each in deployed if each.commit == deployed[0].rolls_back), None)
    if not back or not back.sha or not _same(sha, back.sha):
        return ""
    why = f": {deployed[0].reason.rstrip('.')}" if deployed[0].reason else ""
    return f"{update.tag} was rolled back in {update.environment} by commit {deployed[0].commit[:7]}{why}. {FORCE}"


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
    if git.lent(source) and git.has(folder, sha, newest):
        return _reaches(source, newest, sha, folder)
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
