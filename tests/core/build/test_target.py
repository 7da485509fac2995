"""A ref becomes a commit and the tag of its images."""

from pathlib import Path

import pytest

from tasks.core import git
from tasks.core.build import target
from tasks.core.errors import InvalidInput
from tests.sandbox import repositories


def test_the_tag_is_the_short_sha_behind_the_version(source: Path, tmp_path: Path) -> None:
    where, sha = git.Remote(str(source)), repositories.head(source)
    (tmp_path / "work").mkdir()
    plain = target.target(where, "dev", "main", target.Node("20"), None, tmp_path / "work")
    named = target.target(where, "dev", sha[:9], target.Node("20"), "v1.0.0", tmp_path / "work")
    assert (plain.sha, plain.tag) == (sha, sha[:7])
    assert (named.sha, named.tag) == (sha, f"v1.0.0-{sha[:7]}")
    assert named.tags == (f"v1.0.0-{sha[:7]}", sha)
    assert not list((tmp_path / "work").iterdir()), "nothing is left behind"


@pytest.mark.parametrize(("usual", "plain", "other"), [("20", "20", "18"), ("22", "22", "20")])
def test_another_node_version_has_tags_of_its_own(
    usual: str, plain: str, other: str, source: Path, tmp_path: Path
) -> None:
    where, sha = git.Remote(str(source)), repositories.head(source)
    first, second = (
        target.target(where, "dev", "main", target.Node(each, usual), "v1.0.0", tmp_path) for each in (plain, other)
    )
    assert first.tags == (f"v1.0.0-{sha[:7]}", sha)
    assert second.tags == (f"v1.0.0-{sha[:7]}-node{other}", f"{sha}-node{other}")


def test_the_newest_commit_is_the_head_of_the_default_branch(source: Path, tmp_path: Path) -> None:
    where = git.Remote(str(source))

    def newest(ref: str, node_version: str = "20") -> bool:
        return target.is_newest(where, target.target(where, "dev", ref, target.Node(node_version), None, tmp_path))

    assert newest("main")
    assert newest(repositories.head(source))
    assert not newest("main", "22")
    assert not newest("feature/agents")
    assert not newest("v1.0.0")
    repositories.git(source, "symbolic-ref", "HEAD", "refs/heads/feature/agents")
    assert newest("feature/agents")
    assert not newest("main")


@pytest.mark.parametrize(
    "version", ["-v1", ".v1", "v 1", "v1\n", "v1\0", "v/1", "v1:2", "bản", "v" * 121, "v" * 100_000]
)
def test_a_version_that_makes_no_tag_is_refused_before_git_is_asked(version: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="tag_version") as caught:
        target.target(git.Remote(str(tmp_path / "nothing")), "dev", "main", target.Node("20"), version, tmp_path)
    assert len(str(caught.value)) < 1000


def test_the_longest_version_leaves_room_for_the_sha(source: Path, tmp_path: Path) -> None:
    longest = target.target(git.Remote(str(source)), "dev", "main", target.Node("20"), "v" * 120, tmp_path)
    assert len(longest.tag) == 128
