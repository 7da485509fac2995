"""Deployments over time as an SVG drawing: a lane for each environment, a segment for each version."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tasks.core.gitops.status import Entry
from tasks.core.models import Value

WIDTH, LANE, LEFT, TOP, BAR = 1120.0, 64.0, 104.0, 12.0, 26.0
"""Units of the drawing: its width, a lane's height, where lanes begin, and a segment's height."""

LETTER = 7.4
"""About how wide a letter of a segment's label is."""

NARROW = 5.0
"""What a segment is wide at least, so that it can be clicked."""


class Segment(Value):
    """The time in which a deployment was the newest; ``fate`` is one of the words that CSS knows."""

    x: float
    y: float
    width: float
    commit: str
    label: str
    title: str
    fate: str


class Tick(Value):
    """A day on the axis; ``anchor`` is SVG's word for where its label begins, which the edge mustn't cut."""

    x: float
    label: str
    anchor: str


class Lane(Value):
    """An environment's row."""

    environment: str
    y: float
    segments: tuple[Segment, ...]


class Timeline(Value):
    """The whole drawing."""

    height: float
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    days: int


def timeline(histories: Sequence[tuple[str, Sequence[Entry]]], now: datetime, days: int) -> Timeline:
    """Lay out the last days of some environments, each with its deployments, newest first."""
    start = now - timedelta(days=days)
    lanes = []
    for number, (environment, entries) in enumerate(histories):
        y = TOP + number * LANE
        lanes.append(Lane(environment=environment, y=y, segments=tuple(_segments(entries, y, start, now))))
    height = TOP + len(lanes) * LANE + 28
    return Timeline(height=height, lanes=tuple(lanes), ticks=tuple(_ticks(start, now, days)), days=days)


def _segments(entries: Sequence[Entry], y: float, start: datetime, now: datetime) -> Iterator[Segment]:
    until = now
    for entry in entries:
        each = entry.deployment
        if until > start:
            x, end = (_x(moment, start, now) for moment in (max(each.at, start), until))
            width = max(end - x - 1, NARROW)
            yield Segment(
                x=round(x, 1),
                y=y + 18,
                width=round(width, 1),
                commit=each.commit,
                label=each.tag if len(each.tag) * LETTER + 12 < width else "",
                title=f"{each.tag} in {each.environment}, {each.at:%Y-%m-%d %H:%M} UTC, {entry.fate}",
                fate=kind(entry),
            )
        until = each.at


def kind(entry: Entry) -> str:
    """Name what a deployment is, in one of the words that CSS knows."""
    if entry.deployment.restores:
        return "restored"
    return entry.fate.split(" by ")[0].replace(" ", "-")


def _ticks(start: datetime, now: datetime, days: int) -> Iterator[Tick]:
    step = max(1, round(days / 7))
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    while day > start:
        x = round(_x(day, start, now), 1)
        yield Tick(x=x, label=f"{day:%-d %b}", anchor="end" if x > WIDTH - 3 * LETTER else "middle")
        day -= timedelta(days=step)


def _x(moment: datetime, start: datetime, now: datetime) -> float:
    return LEFT + (WIDTH - LEFT) * ((moment - start) / (now - start))
