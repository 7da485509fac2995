"""A change that people merge, on a branch of its own for each environment; reviewers may add commits to it."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from tasks.core.errors import NotFound
from tasks.core.git.branch import DEPTH, Branch, Identity
from tasks.core.gitops import commit_message, overlay
from tasks.core.models import Environment, ImageRef


@dataclass(frozen=True)
class Change:
    """What is proposed: an environment's images in its overlay, and the edit that brings them to the branch itself."""

    environment: Environment
    folder: str
    images: Sequence[ImageRef]
    edit: overlay.Edit
    message: str
    identity: Identity
    application: str


def propose(onto: Branch, proposal: Branch, change: Change, *, under_review: bool, log: Callable[[str], None]) -> str:
    """Make a change the head of its proposal's branch; returns the commit, which may have been there before.

    Commits that reviewers have added stay while people look at them: the change comes on top.

    Args:
        onto: the branch it is to be merged into, fetched.
        proposal: the proposal's branch, which may be missing.
        change: what is proposed.
        under_review: whether a pull request is open.
        log: is called with what becomes of reviewers' commits.

    Raises:
        LostRace: another push to the proposal's branch came first.
        Conflict: another branch's name is in the way.
        PushRefused, AccessDenied, Unavailable: as the git server answers.
    """
    with suppress(NotFound):
        proposal.fetch()
    merged = {each.sha for each in onto.log(DEPTH)}
    if proposal.head and proposal.head not in merged:  # merged, it proposes nothing any more
        with suppress(NotFound):
            if proposal.read(change.edit.path) == change.edit.after.encode():
                return proposal.head
        if theirs := _reviewers_commits(proposal, merged, change):
            if under_review:
                log(f"{proposal.name} has commits of reviewers ({', '.join(theirs)}): this one comes on top of them.")
                return _on_top(proposal, change)
            log(f"Put aside {', '.join(theirs)} of {proposal.name}: its pull request is closed.")
    commit = onto.commit(change.edit.path, change.edit.after.encode(), change.message, change.identity)
    onto.propose(commit, proposal.name, instead_of=proposal.head)
    return commit


def _reviewers_commits(proposal: Branch, merged: set[str], change: Change) -> list[str]:
    said = [
        (each.sha[:7], commit_message.parse(each.message, change.application))
        for each in proposal.log(DEPTH)
        if each.sha not in merged
    ]
    return [sha for sha, told in said if not told or told["environment"] != change.environment]


def _on_top(proposal: Branch, change: Change) -> str:
    edit = overlay.edit(proposal, change.folder, change.images)
    if not edit.diff:
        return proposal.head
    commit = proposal.commit(edit.path, edit.after.encode(), change.message, change.identity)
    proposal.push(commit)
    return commit
