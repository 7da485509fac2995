"""What an environment can be rolled back to, and the record of each."""

from datetime import UTC, datetime, timedelta

from tasks.core.gitops.ledger import Deployment
from tasks.core.gitops.rollback import choices
from tasks.core.report.choices import rows

START = datetime(2026, 11, 1, tzinfo=UTC)


def deployment(letter: str, day: int, tag: str, **fields: str) -> Deployment:
    at = START + timedelta(days=day)
    return Deployment(commit=letter * 40, at=at, environment="dev", tag=tag, actor="Lan", **fields)


def test_each_version_once_with_how_long_it_was_in_place_and_none_that_was_taken_back() -> None:
    history = [
        deployment("e", 9, "v2", restores="b" * 40, rolls_back="d" * 40),
        deployment("d", 8, "v3"),
        deployment("c", 5, "v1", approved_by="Robin (as typed)"),
        deployment("b", 3, "v2"),
        deployment("a", 0, "v0", promoted_from=f"staging {'9' * 40}"),
    ]
    known = rows(choices(history))
    assert [(each["steps"], each["to"], each["version"], each["in place for"]) for each in known] == [
        ("1", "c" * 7, "v1", "3 d"),
        ("2", "a" * 7, "v0", "3 d"),
    ]
    assert known[0]["approved by"] == "Robin (as typed)"
    assert (known[1]["what"], known[1]["deployed"]) == ("promoted from staging 9999999", "2026-11-01 00:00")
    assert rows(choices(history[:1])) == rows(choices([])) == []
