"""The timeline's drawing: where segments begin and end."""

from datetime import UTC, datetime, timedelta

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.status import Entry
from tasks.core.report.board.timeline import LEFT, WIDTH, timeline

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def entry(tag: str, days: float, fate: str, **more: str) -> Entry:
    at = NOW - timedelta(days=days)
    return Entry(deployment=Deployment(commit=tag * 40, at=at, environment="dev", tag=tag, **more), fate=fate)


def test_segments_fill_a_lane_from_the_first_deployment_to_now() -> None:
    history = [
        entry("c", 2, "live", restores="a" * 40),
        entry("b", 5, "rolled back by ccccccc"),
        entry("a", 20, "superseded by bbbbbbb"),
        entry("0", 40, "superseded by aaaaaaa"),
    ]
    (lane,) = timeline([("dev", history)], NOW, 10).lanes
    day = (WIDTH - LEFT) / 10
    assert [(each.commit[0], each.fate) for each in lane.segments] == [
        ("c", "restored"),
        ("b", "rolled-back"),
        ("a", "superseded"),
    ]
    newest, middle, oldest = lane.segments
    assert abs(newest.x + newest.width + 1 - WIDTH) < 0.2
    assert abs(middle.x - (WIDTH - 5 * day)) < 0.2
    assert oldest.x == LEFT


def test_what_was_there_for_a_minute_can_still_be_clicked() -> None:
    history = [entry("b", 1, "live"), entry("a", 1.0005, "superseded by bbbbbbb")]
    (lane,) = timeline([("dev", history)], NOW, 90).lanes
    assert lane.segments[1].width >= 5
    assert lane.segments[1].label == ""


def test_the_last_days_label_is_not_cut_by_the_edge() -> None:
    ticks = timeline([("dev", [])], NOW, 30).ticks
    assert [each.anchor for each in ticks] == ["end", *["middle"] * (len(ticks) - 1)]
