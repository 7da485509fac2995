"""A clock for tests of what takes minutes."""

import pytest

USERS = ("watch", "evidence")
"""Modules of ``tasks.core.rollout`` that look at the clock."""


class Clock:
    """Goes on when somebody sleeps, and else stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give a rollout a clock that only its own pauses move."""
    clock = Clock()
    for each in USERS:
        monkeypatch.setattr(f"tasks.core.rollout.{each}.time", clock)
    return clock
