"""Delivery figures, worked out by hand."""

from datetime import UTC, datetime, timedelta

from tasks.core.gitops.ledger import Deployment
from tasks.core.report.board.figures import figures

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def deployment(name: str, hours: float, **more: str) -> Deployment:
    at = NOW - timedelta(hours=hours)
    return Deployment(commit=name * 40, at=at, environment="production", tag=name, sha=name * 40, **more)


def test_how_often_how_fast_how_well_and_how_soon_mended() -> None:
    deployed = [
        deployment("d", 10),
        deployment("b", 20, restores="b" * 40, rolls_back="c" * 40),
        deployment("c", 21.5),
        deployment("b", 100),
        deployment("a", 24 * 40),
    ]
    waits = {"d" * 40: [timedelta(hours=2), timedelta(hours=6)], "c" * 40: [timedelta(hours=10)]}
    found = figures("production", deployed, waits, NOW, 28)
    assert (found.deployments, found.per_week, found.commits) == (3, 0.75, 3)
    assert found.lead_time == timedelta(hours=6)
    assert (found.failed, found.restore) == (1, timedelta(hours=1.5))
    assert found.failure_rate == 1 / 3


def test_without_deployments_nothing_is_claimed() -> None:
    found = figures("production", [deployment("a", 24 * 40)], {}, NOW, 30)
    assert (found.deployments, found.failure_rate, found.lead_time, found.restore) == (0, None, None, None)
