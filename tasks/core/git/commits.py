"""A branch's commits, as git-log(1) tells them."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

FORMAT = "%H %ct %P%n%B%x00"
"""Sha, committer's seconds and parents, then the message."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
"""The last date that is one in every time zone; a commit may be of the year 100000."""


class Commit(NamedTuple):
    """A commit on the branch.

    ``arrived`` is the branch's own commit that brought it there, itself unless it was merged, and ``at`` that one's
    time, in UTC.
    """

    sha: str
    at: datetime
    message: str
    arrived: str


def parse(log: str) -> list[Commit]:
    """Return the commits of a log in :data:`FORMAT`, its entries apart by NUL."""
    entries = [entry.lstrip("\n").partition("\n") for entry in log.split("\0")[:-1]]
    heads = [head.split(" ") for head, _, _ in entries]
    parents = {sha: there for sha, _, *there in heads}
    dates = {sha: _date(seconds) for sha, seconds, *_ in heads}
    came = _arrivals(parents)
    arrived = [came.get(sha, sha) for sha in parents]
    messages = [message for _, _, message in entries]
    return [Commit(sha, dates[tip], text, tip) for sha, tip, text in zip(parents, arrived, messages, strict=True)]


def _date(seconds: str) -> datetime:
    """Return the time of so many seconds since 1970; git allows later ones than Python, and none at all."""
    return EPOCH + min(timedelta(seconds=min(int(seconds or 0), 1 << 40)), LATEST - EPOCH)


def _arrivals(parents: dict[str, list[str]]) -> dict[str, str]:
    """By which commit of the branch itself (its first parents) each one came there; newest first, as in a log."""
    own, sha = list[str](), next(iter(parents), "")
    while sha in parents:
        own.append(sha)
        sha = next(iter(parents[sha]), "")
    came = dict[str, str]()
    for tip in reversed(own):
        new = [tip]
        while new:
            each = new.pop()
            if each in parents and each not in came:
                came[each] = tip
                new += parents[each]
    return came
