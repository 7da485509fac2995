"""Who deployed what, where and when: written into, and read from, the GitOps branch's commit messages alone.

A message begins as those of the user's workflow do; commits that workflow made are read as well.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

from pydantic import AwareDatetime

from tasks.core.git.branch import DEPTH, Branch, Commit
from tasks.core.models import ENVIRONMENTS, SHA_PATTERN, Approval, Environment, ImageUpdate, Origin, Value

FAR = 1000
"""Commits of the GitOps branch to look through where the newest ones do not tell."""

WHOLE = 0x7FFFFFFF
"""Commits that git takes for the whole history (git-fetch(1), ``--depth``)."""

SUBJECT = "update flowise images to "

LINES = {
    "Triggered by": "actor",
    "Source SHA": "sha",
    "Tag": "tag",
    "Approved by": "approved_by",
    "Approval note": "approval_note",
}
"""The lines for people, and which field of a deployment each one is. The first three are the user's workflow's."""

TRAILERS = {
    "Server-Digest": "server_digest",
    "UI-Digest": "ui_digest",
    "Run": "run",
    "Promoted-From": "promoted_from",
    "Restores": "restores",
    "Rolls-Back": "rolls_back",
    "Reason": "reason",
}
"""The last paragraph, for programs (git-interpret-trailers(1))."""

T = TypeVar("T")


class Deployment(Value):
    """What one commit of the GitOps branch brought to an environment; empty is what its message does not tell.

    ``restores`` and ``rolls_back`` are GitOps commits, ``promoted_from`` an environment and a GitOps commit.
    """

    commit: str
    at: AwareDatetime
    environment: Environment
    tag: str
    actor: str = ""
    sha: str = ""
    server_digest: str = ""
    ui_digest: str = ""
    run: str = ""
    approved_by: str = ""
    approval_note: str = ""
    promoted_from: str = ""
    restores: str = ""
    rolls_back: str = ""
    reason: str = ""

    @property
    def version(self) -> tuple[str, str, str]:
        """What tells its images from those of another deployment."""
        return (self.tag, self.server_digest, self.ui_digest)

    def brings(self, update: ImageUpdate) -> bool:
        """Whether these are an update's images."""
        return self.version == (update.tag, update.server_digest or "", update.ui_digest or "")


def message(update: ImageUpdate, approval: Approval | None = None, origin: Origin | None = None) -> str:
    """The commit message of an update; a line without a value is left out."""
    values: dict[str, str | None] = {
        "actor": update.actor,
        "sha": update.sha,
        "tag": update.tag,
        "server_digest": update.server_digest,
        "ui_digest": update.ui_digest,
        "run": update.workflow_run_id,
    }
    if approval:
        values |= {"approved_by": approval.by, "approval_note": approval.note}
    if origin:
        values |= origin.model_dump(exclude={"images"})
    paragraphs = [
        f"chore({update.environment}): {SUBJECT}{update.tag}",
        _written(LINES, values),
        _written(TRAILERS, values),
    ]
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def deployments(commits: Iterable[Commit], environment: Environment | None = None) -> list[Deployment]:
    """The deployments among commits, in their order: to one environment, or to all of them."""
    found = (_read(commit) for commit in commits)
    return [each for each in found if each and environment in (None, each.environment)]


def search(branch: Branch, pick: Callable[[list[Deployment]], T], environment: Environment | None = None) -> T:
    """What ``pick`` finds among an environment's deployments, newest first: in ever more of the branch's history.

    Returns:
        The first answer that is not empty; else that for the whole history.
    """
    for depth in (DEPTH, FAR, WHOLE):
        commits = branch.log(depth)
        found = pick(deployments(commits, environment))
        if found or len(commits) < depth:
            break
    return found


def of(branch: Branch, environment: Environment, at_least: int = 1) -> list[Deployment]:
    """The newest deployments to an environment, newest first, and among them those that the newest took back.

    So many at least, unless the whole history has fewer.
    """
    enough = search(branch, lambda found: found if _reach(found, at_least) else [], environment)
    return enough or deployments(branch.log(WHOLE), environment)


def near(branch: Branch, environment: Environment) -> list[Deployment]:
    """An environment's deployments among the branch's newest commits, newest first, which cost next to nothing."""
    return deployments(branch.log(DEPTH), environment)


def _reach(found: Sequence[Deployment], at_least: int) -> bool:
    taken_back = {each.rolls_back for each in takewhile(lambda each: each.rolls_back, found)}
    return len(found) >= at_least and taken_back <= {each.commit for each in found}


def fate(deployment: Deployment, later: Sequence[Deployment]) -> str:
    """What became of a deployment, by the later ones to its environment, newest first: in a person's words."""
    back = next((each for each in later if each.rolls_back == deployment.commit), None)
    if back:
        return f"rolled back by {back.commit[:7]}"
    return f"superseded by {later[-1].commit[:7]}" if later else "live"


def _written(names: Mapping[str, str], values: Mapping[str, str | None]) -> str:
    return "\n".join(f"{name}: {values[field]}" for name, field in names.items() if values.get(field))


def _read(commit: Commit) -> Deployment | None:
    subject, _, body = commit.message.partition("\n")
    for environment in ENVIRONMENTS:
        start = f"chore({environment}): {SUBJECT}"
        if subject.startswith(start):
            # Squashed by GitHub, a subject ends with the pull request: " (#12)".
            tag = subject.removeprefix(start).split(" ", 1)[0]
            return Deployment(commit=commit.sha, at=commit.at, environment=environment, **{"tag": tag} | _lines(body))
    return None


def _lines(body: str) -> dict[str, str]:
    pairs = (line.partition(": ") for line in body.split("\n"))
    names = LINES | TRAILERS
    known = {names[name]: value.strip() for name, _, value in pairs if name in names}
    if not re.fullmatch(SHA_PATTERN, known.get("sha", "")):
        known.pop("sha", None)  # somebody else's line: git is asked for what stands here
    return {field: value for field, value in known.items() if value}
