"""Which deployment an environment goes back to: an earlier one that differs and was not itself taken back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from tasks.core.errors import Conflict, InvalidInput, NotFound
from tasks.core.gitops import overlay
from tasks.core.gitops.ledger import Deployment, Ledger
from tasks.core.gitops.redeploy import update_as_deployed
from tasks.core.gitops.repository import GitOps, on_branch
from tasks.core.models import Environment, ImageUpdate, Move, Origin

SHORTEST = 7
"""Characters of a commit that are enough to name it."""

LISTED = 5
"""Deployments that a person is told to choose from."""


SHOWN = 20
"""Newest deployments whose images a person can choose from."""


class Choice(NamedTuple):
    """A deployment that can be restored, and until when it was in place."""

    deployment: Deployment
    until: datetime


@dataclass(frozen=True)
class Wanted:
    """Which deployment to go back to.

    Args:
        to: its tag, source commit or GitOps commit; empty to count ``steps``.
        steps: how many different deployments back; those that were rolled back do not count.
        of: the update that is to be taken back.
        good: the update that ran healthy last, if that is known; it goes before counting.
    """

    to: str = ""
    steps: int = 1
    of: ImageUpdate | None = None
    good: ImageUpdate | None = None


def earlier(
    repository: GitOps, environment: Environment, wanted: Wanted, *, actor: str, run: str, reason: str = ""
) -> Move:
    """Return the move that takes an environment back.

    Args:
        repository: where the overlays are.
        environment: what goes back.
        wanted: to which deployment.
        actor: who asks for it.
        run: the run that does.
        reason: why.

    Raises:
        NotFound: there is no such deployment.
        Conflict: another update than ``wanted.of`` is deployed by now.
        InvalidInput: its overlay named an image without a version, or the name is that of several.
    """
    folder = overlay.overlay_of(repository.overlays, environment)
    with on_branch(repository) as branch:
        ledger = repository.ledger(branch)
        newest = next(iter(ledger.newest(environment)), None)
        by_hand = newest is not None and overlay.changed_by_hand(branch, folder, newest.arrived, repository.images)
        if wanted.of and newest:
            _check_there(wanted.of, newest, by_hand=by_hand)
        found = ledger.search(lambda deployed: _proven(deployed, wanted.good), environment)
        found = found or ledger.search(lambda deployed: _pair(deployed, wanted, by_hand), environment)
        if not found:
            raise _nothing(ledger, environment, wanted)
        target, current = found
        images = overlay.images_at(branch, folder, target.arrived)
    update, entries = update_as_deployed(repository, target, images, environment, actor=actor, run=run)
    rolls_back = current.commit if current.commit != target.commit else ""
    origin = Origin(images=entries, restores=target.commit, rolls_back=rolls_back, reason=reason)
    return Move(update=update, origin=origin)


def candidates(deployed: Sequence[Deployment]) -> list[Deployment]:
    """List what the newest deployment can be rolled back to, newest first: other images, each once."""
    if not deployed:
        return []
    taken_back = {each.rolls_back for each in deployed}
    first = {deployed[0].version: deployed[0]}
    for each in deployed[1:]:
        if each.commit not in taken_back:
            first.setdefault(each.version, each)
    return list(first.values())[1:]


def choices(deployed: Sequence[Deployment]) -> list[Choice]:
    """List the candidates, each with the time when another deployment took its place."""
    until = dict(zip((each.commit for each in deployed[1:]), (each.at for each in deployed), strict=False))
    return [Choice(each, until[each.commit]) for each in candidates(deployed)]


def choices_there(repository: GitOps, environment: Environment) -> list[Choice]:
    """List what an environment can be rolled back to, by its newest deployments.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    with on_branch(repository) as branch:
        return choices(repository.ledger(branch).newest(environment, SHOWN))


def _check_there(of: ImageUpdate, newest: Deployment, *, by_hand: bool) -> None:
    if not newest.brings(of):
        raise Conflict(f"{of.environment} got {newest.tag} by {newest.commit[:7]} meanwhile.", "That one stays.")
    if by_hand:
        raise Conflict(f"{of.environment} was changed by hand since {newest.commit[:7]}.", "That change stays.")


def _pair(deployed: Sequence[Deployment], wanted: Wanted, by_hand: bool) -> tuple[Deployment, Deployment] | None:
    """Return the deployment to go back to, and the newest one, which is the first step back from a manual edit."""
    backwards = [*(deployed[:1] if by_hand else ()), *candidates(deployed)]
    target = _named(deployed, wanted.to) if wanted.to else next(iter(backwards[wanted.steps - 1 :]), None)
    return (target, deployed[0]) if target else None


def _proven(deployed: Sequence[Deployment], good: ImageUpdate | None) -> tuple[Deployment, Deployment] | None:
    target = next((each for each in candidates(deployed) if good and each.brings(good)), None)
    return (target, deployed[0]) if target else None


def _named(deployed: Sequence[Deployment], to: str) -> Deployment | None:
    """Return the newest deployment of that name; it must not be one of several with other images."""
    found = {each.version: each for each in reversed(deployed) if _is(each, to)}
    if len(found) > 1:
        known = ", ".join(f"{each.tag} ({each.commit[:SHORTEST]})" for each in reversed(found.values()))
        raise InvalidInput(f"{to} names {len(found)} deployments with different images.", f"Give a commit: {known}.")
    return next(iter(found.values()), None)


def _is(deployment: Deployment, to: str) -> bool:
    if to == deployment.tag:
        return True
    commits = (each for each in (deployment.sha, deployment.commit) if each)
    return len(to) >= SHORTEST and any(each.startswith(to) or to.startswith(each) for each in commits)


def _nothing(ledger: Ledger, environment: Environment, wanted: Wanted) -> NotFound:
    known = [f"{each.tag} ({each.commit[:7]})" for each in candidates(ledger.newest(environment, LISTED + 1))[:LISTED]]
    which = f"as {wanted.to}" if wanted.to else f"{wanted.steps} back"
    return NotFound(
        f"{environment} has no deployment {which} in the GitOps repository's history.",
        f"There is: {', '.join(known) or 'none to go back to'}.",
    )
