"""Delivery figures, from the GitOps history alone: how often, how fast, how well, and how soon fixed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median

from tasks.core.gitops.ledger import Deployment
from tasks.core.models import Environment, Value
from tasks.core.report.board.source_history import SourceHistory


class Figures(Value):
    """An environment's figures over some days; ``None`` is what the history can't tell.

    ``lead_time`` is the median time from a source commit to its deployment, ``restore`` that from a deployment to its
    rollback. ``failed`` counts deployments that were rolled back.
    """

    environment: Environment
    days: int
    deployments: int
    commits: int
    failed: int
    lead_time: timedelta | None = None
    restore: timedelta | None = None

    @property
    def per_week(self) -> float:
        """How often something new is deployed."""
        return 7 * self.deployments / self.days

    @property
    def failure_rate(self) -> float | None:
        """Which part of the deployments was rolled back."""
        return self.failed / self.deployments if self.deployments else None


def figures(
    environment: Environment,
    deployed: Sequence[Deployment],
    waits: Mapping[str, Sequence[timedelta]],
    now: datetime,
    days: int,
) -> Figures:
    """Work out an environment's figures.

    Args:
        environment: which one.
        deployed: its deployments, newest first.
        waits: how long each source commit of a deployment waited for it, by GitOps commit.
        now: the end of the days.
        days: how many to look at.
    """
    within = [each for each in deployed if each.at > now - timedelta(days=days)]
    forward = [each for each in within if not each.restores]
    at = {each.commit: each.at for each in deployed}
    back = {each.rolls_back: each.at for each in reversed(deployed) if each.rolls_back}
    failed = [each.commit for each in forward if each.commit in back]
    times = [wait for each in forward for wait in waits.get(each.commit, ())]
    return Figures(
        environment=environment,
        days=days,
        deployments=len(forward),
        commits=len(times),
        failed=len(failed),
        lead_time=_median(times),
        restore=_median([back[commit] - at[commit] for commit in failed]),
    )


def _median(times: Sequence[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(time.total_seconds() for time in times)) if times else None


def waits(history: SourceHistory, deployed: Sequence[Deployment]) -> dict[str, list[timedelta]]:
    """Return how long the source commits of each deployment waited for it.

    The first one has no commits: what was there before isn't known. Nor has one that brings back what was there.
    """
    found: dict[str, list[timedelta]] = {}
    seen = ""
    for each in reversed(deployed):
        if each.sha and seen and not each.restores:
            found[each.commit] = [max(each.at - commit.at, timedelta()) for commit in history.between(seen, each.sha)]
        seen = each.sha or seen
    return found
