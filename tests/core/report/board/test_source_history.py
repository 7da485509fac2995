"""Which source commit is where, from a copy of the commits."""

from datetime import timedelta
from pathlib import Path

import pytest

from tasks.core import git as core_git
from tasks.core.report.board.source_history import SourceHistory, arrived
from tests.sandbox.repositories import commit, git

SERVER = {"packages/server/src/index.ts": "app.get('/')\n"}


@pytest.fixture
def history(source: Path, tmp_path: Path) -> SourceHistory:
    commit(source, "main", SERVER, "feat(server): export traces (#412)")
    made = SourceHistory(core_git.Remote(str(source)), tmp_path / "copy.git")
    made.refresh()
    return made


def sha(source: Path, ref: str) -> str:
    return git(source, "rev-parse", f"{ref}^{{commit}}").decode().strip()


@pytest.mark.parametrize(
    ("words", "ref"),
    [
        ("v1.0.0", "v1.0.0"),
        ("main", "main"),
        ("feature/agents", "feature/agents"),
        ("#412", "main"),
        ("PR 412", "main"),
        ("https://github.com/acme/flowise/pull/412/files", "main"),
    ],
)
def test_a_commit_is_found_by_what_people_call_it(history: SourceHistory, source: Path, words: str, ref: str) -> None:
    found = history.find(words)
    assert found and found.sha == sha(source, ref)


def test_a_commit_is_found_by_its_sha(history: SourceHistory, source: Path) -> None:
    wanted = sha(source, "main~1")
    for words in (wanted, wanted[:7], f" {wanted[:9]} "):
        found = history.find(words)
        assert found and (found.sha, found.subject) == (wanted, "perf(server): answer pings without logging")


@pytest.mark.parametrize("words", ["#41", "nonsense", "--all", "v9", "0000000", "a..b", "main~1", "x" * 200, "#"])
def test_what_names_no_commit_finds_none(history: SourceHistory, words: str) -> None:
    assert history.find(words) is None


def test_what_comes_between_two_deployments(history: SourceHistory, source: Path) -> None:
    subjects = [each.subject for each in history.between(sha(source, "v1.0.0"), sha(source, "main"))]
    assert subjects == ["feat(server): export traces (#412)", "perf(server): answer pings without logging"]
    assert history.between("0" * 40, sha(source, "main")) == []


def test_since_when_a_commit_is_there_without_a_break(history: SourceHistory, source: Path) -> None:
    first, second, third = (sha(source, ref) for ref in ("v1.0.0", "main~1", "main"))
    found = history.find(second)
    assert found
    at = {name: found.at + timedelta(hours=hours) for hours, name in enumerate((first, second, third))}
    assert arrived(history, second, [(third, at[third]), (second, at[second]), (first, at[first])]) == at[second]
    assert arrived(history, third, [(second, at[second])]) is None
    later = at[third] + timedelta(hours=5)
    assert arrived(history, second, [(third, later), (first, at[third]), (second, at[second])]) == later


def test_new_commits_arrive_and_a_deleted_branch_goes(history: SourceHistory, source: Path) -> None:
    new = commit(source, "main", {"a.txt": "a"}, "fix: newer (#413)")
    git(source, "update-ref", "-d", "refs/heads/feature/agents")
    assert history.find("#413") is None
    history.refresh()
    found = history.find("#413")
    assert found and found.sha == new
    assert history.find("feature/agents") is None
