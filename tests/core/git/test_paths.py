"""Paths as a checkout would have them: links followed, inside the repository and not for ever."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.git.branch import Branch
from tasks.core.git.paths import look
from tests.sandbox import repositories
from tests.sandbox.github import github

FILES = {"a/b/file": "content", "a/b/c/deep": "deep", "top": "top"}
LINKS = {
    "to-b": "a/b",
    "a/up": "../top",
    "loop": "loop",
    "x/../y": "",
    "out": "../out",
    "abs": "/etc",
    "a/twice": "../to-b",
}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    bare = repositories.init(tmp_path / "g.git")
    repositories.commit(bare, "main", FILES, "files")
    stream = "commit refs/heads/main\ncommitter A <a@b> 1767300000 +0000\ndata 1\nm\nfrom refs/heads/main^0\n"
    for path, target in LINKS.items():
        if target:
            stream += f"M 120000 inline {path}\ndata {len(target)}\n{target}\n"
    stream += f"M 160000 {'1' * 40} module\n"
    repositories.git(bare, "fast-import", "--quiet", stdin=stream.encode())
    return bare


def test_links_are_followed(bare: Path, tmp_path: Path) -> None:
    with Branch(git.Remote(str(bare)), "main", tmp_path / "scratch.git") as branch:
        branch.fetch()
        asked = ["top", "a/b/file", "to-b/file", "a/twice/c", "a/up", "a/b/../up", "./a//b", "", "module", "module/x"]
        asked += ["loop", "out", "abs", "none", "top/x", "a/b/../../../top", "../top"]
        found = look(branch, asked)
    assert {path: (each.path, each.content) for path, each in found.items() if each.content} == {
        "top": ("top", b"top"),
        "a/b/file": ("a/b/file", b"content"),
        "to-b/file": ("a/b/file", b"content"),
        "a/up": ("top", b"top"),
        "a/b/../up": ("top", b"top"),
    }
    assert {path: (each.path, sorted(each.names)) for path, each in found.items() if each.names} == {
        "a/twice/c": ("a/b/c", ["deep"]),
        "./a//b": ("a/b", ["c", "file"]),
        "": ("", sorted({"a", "top", "module", *(name for name in LINKS if "/" not in name)})),
    }
    assert [path for path, each in found.items() if each.submodule] == ["module", "module/x"]
    assert set(asked) - set(found) == {"loop", "out", "abs", "none", "top/x", "a/b/../../../top", "../top"}


def test_a_level_is_one_fetch(bare: Path, tmp_path: Path) -> None:
    with github({"a/b": bare}) as hub:
        where = git.Remote(hub.clone_url("a/b"), SecretStr(hub.token))
        with Branch(where, "main", tmp_path / "scratch.git") as branch:
            branch.fetch()
            before = len([each for each in hub.requests if each.path.endswith("git-upload-pack")])
            assert len(look(branch, ["top", "a/b/file", "a/b/c/deep"])) == 3
            fetches = len([each for each in hub.requests if each.path.endswith("git-upload-pack")]) - before
    assert fetches <= 2 * 5  # root; a and top; b; c and file; deep: each with protocol v2's listing first
