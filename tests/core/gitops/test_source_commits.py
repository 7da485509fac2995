"""The source commits between two deployments, one line each, whatever their subjects are made of."""

from pathlib import Path

import pytest

from tasks.core import git
from tasks.core.gitops.source_commits import between
from tests.sandbox import repositories


@pytest.mark.parametrize("odd", ["\u2028", "\f", "\x1e", "\x85", "\r", "\v"])
def test_a_subject_has_one_line(odd: str, source: Path, tmp_path: Path) -> None:
    old = repositories.head(source)
    first = repositories.commit(source, "main", {"a": "1"}, f"fix: one{odd}+ 1234567 two\n\nbody")
    new = repositories.commit(source, "main", {"a": "2"}, "fix: three")
    lines = between(old, new, git.Remote(str(source)), tmp_path)
    assert lines == [f"+ {new[:7]} fix: three", f"+ {first[:7]} fix: one + 1234567 two"]
