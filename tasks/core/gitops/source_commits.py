"""The source commits between two deployments, as a person reads them."""

from pathlib import Path

from tasks.core import git
from tasks.core.errors import DeliveryError
from tasks.core.system.temp_dir import temp_dir
from tasks.core.text import fenced, literal, one_line

SHOWN = 20
"""Source commits that are shown, the newest ones."""

WIDTH = 100
"""Characters of a commit's subject that are shown."""


def markdown(old: str, new: str, source: git.Remote | None, work_dir: Path) -> str:
    """Return the commits that come and go when a deployed source commit is replaced; or why they are not known.

    Args:
        old: the source commit that is deployed; empty where it is not known.
        new: the one that is to be deployed; likewise.
        source: the source repository, where it is known here.
        work_dir: where its commits may be fetched to meanwhile.
    """
    if not (source and git.FULL_SHA.fullmatch(new) and git.FULL_SHA.fullmatch(old)):
        return f"From {literal(old or 'unknown')} to {literal(new or 'unknown')}; not looked up."
    try:
        lines = between(old, new, source, work_dir)
    except DeliveryError as error:  # nothing must depend on the source repository being there
        return f"From `{old}` to `{new}`; they cannot be asked for: {literal(one_line(error.message))}"
    if not lines:
        return f"None: it is `{new}` already."
    more = f"\nOnly the newest {SHOWN} are shown.\n" if len(lines) > SHOWN else ""
    # Every line begins with a sign, so that no subject ends the fence. In a diff, what goes away is red.
    return fenced("\n".join(lines[:SHOWN])) + more


def between(old: str, new: str, source: git.Remote, work_dir: Path, most: int = SHOWN + 1) -> list[str]:
    """Return the commits of one side only, newest first: ``+`` comes, ``-`` goes away.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    with temp_dir(work_dir) as folder:
        here = folder / "source.git"
        git.init(here, source)
        # The whole history, but commits alone: a shallow one has commits that only seem to be new.
        git.run(source, "fetch", "-q", "--no-tags", "--filter=tree:0", "origin", new, old, directory=here)
        show = ("log", "--left-right", f"--max-count={most}", "--format=%m%x00%H%x00%s")
        lines = git.run(source, *show, f"{old}...{new}", directory=here).split("\n")[:-1]  # git's only line end
        rows = (line.split("\0") for line in lines)
        return [f"{'+' if side == '>' else '-'} {sha[:7]} {one_line(subject, WIDTH)}" for side, sha, subject in rows]
