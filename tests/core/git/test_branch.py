"""A commit made without a checkout changes one file, and nothing else in the tree, whatever the server can do."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.errors import InvalidInput, LostRace, NotFound
from tasks.core.git.branch import Branch
from tests.sandbox import git_http, repositories
from tests.sandbox.github import github

PLACE = b"a b/overlays/dev"
ODD = [
    b"plain",
    b"-x",
    b"--upload-pack=x",
    b"a\tb",
    b"a\nb",
    b'"q"',
    b"back\\slash",
    b"caf\xe9",
    "ảnh".encode(),
    b"a.b",
]
"""Names of files and folders, next to each folder on the way to the file."""


def quoted(path: bytes) -> bytes:
    return b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'


def odd_repository(bare: Path) -> Path:
    """Every kind of entry under every kind of name, in the root and beside the file that changes."""
    data = b"data 2\nx\n\n"
    stream = b"commit refs/heads/main\ncommitter A <a@example.com> 1767225600 +0000\ndata 1\nm\n"
    for folder in (b"", b"a b/", b"a b/overlays/", PLACE + b"/"):
        for name in ODD:
            stream += b"M 100644 inline %s\n" % quoted(folder + name) + data
            stream += b"M 100755 inline %s\n" % quoted(folder + b"in-" + name + b"/" + name) + data
            stream += b"M 120000 inline %s\n" % quoted(folder + b"link-" + name) + b"data 5\nplain\n"
            stream += b"M 160000 %s %s\n" % (b"1" * 40, quoted(folder + b"module-" + name))
    stream += b"M 100755 inline %s\n" % quoted(PLACE + b"/file.yaml") + data
    repositories.git(repositories.init(bare), "fast-import", "--quiet", stdin=stream)
    return bare


DATES = {
    "1767225600 +0000": "2026-01-01T00:00:00+00:00",
    "1767225600 +9999": "2026-01-01T00:00:00+00:00",
    "253402300800 +0000": "9999-12-30T00:00:00+00:00",
    "18446744073709551615 +0000": "9999-12-30T00:00:00+00:00",
    "0 +0000": "1970-01-01T00:00:00+00:00",
    "": "1970-01-01T00:00:00+00:00",
}


@pytest.mark.parametrize(("date", "wanted"), DATES.items())
def test_any_date_that_git_takes(date: str, wanted: str, tmp_path: Path) -> None:
    bare = repositories.init(tmp_path / "dates.git")
    first = repositories.commit(bare, "main", {"a": "1"}, "first")
    tree = repositories.git(bare, "rev-parse", "main^{tree}").decode().strip()
    person = f"A <a@example.com> {date}".strip()
    made = (
        f"tree {tree}\nparent {first}\nauthor {person}\ncommitter {person}\n\nodd\fsubject\u2028of one line\n".encode()
    )
    sha = repositories.git(bare, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=made)
    repositories.git(bare, "update-ref", "refs/heads/main", sha.decode().strip())
    with Branch(git.Remote(str(bare)), "main", tmp_path / "read.git") as branch:
        branch.fetch()
        newest, oldest = branch.log(5)
    assert (newest.at.isoformat(), newest.message) == (wanted, "odd\fsubject\u2028of one line\n")
    assert oldest.sha == first


@pytest.fixture(params=["path", "path with filters", "http", "http without filters"])
def served(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    """A bare repository, and the way to it."""
    bare = odd_repository(tmp_path / "odd.git")
    filters = "true" if request.param == "path with filters" else "false"
    repositories.git(bare, "config", "uploadpack.allowFilter", filters)
    if request.param.startswith("path"):
        yield bare, git.Remote(str(bare))
        return
    if "without" in request.param:
        monkeypatch.setitem(git_http._CONFIG, "uploadpack.allowFilter", "false")
    with github({"a/odd": bare}) as hub:
        yield bare, git.Remote(hub.clone_url("a/odd"), SecretStr(hub.token))


@pytest.fixture
def opened() -> Iterator[Callable[[git.Remote, Path], Branch]]:
    with ExitStack() as branches:
        yield lambda where, folder: branches.enter_context(Branch(where, "main", folder / "scratch.git"))


def tree(bare: Path, rev: str) -> dict[bytes, bytes]:
    rows = repositories.git(bare, "ls-tree", "-r", "-z", rev).rstrip(b"\0").split(b"\0")
    return {path: about for about, _, path in (row.partition(b"\t") for row in rows)}


def test_every_other_entry_stays_as_it_is(
    served: tuple, tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]
) -> None:
    bare, where = served
    before, path = tree(bare, "main"), f"{PLACE.decode()}/file.yaml"
    assert len(before) == 4 * 4 * len(ODD) + 1
    branch = opened(where, tmp_path)
    assert branch.fetch() == repositories.head(bare)
    assert branch.read(path) == b"x\n"
    commit = branch.commit(path, b"\r\n\xff\0", "subject\n\nbody: Nguyễn\n")
    branch.push(commit)
    after = tree(bare, "main")
    assert repositories.head(bare) == commit
    assert {name for name in before | after if before.get(name) != after.get(name)} == {path.encode()}
    assert after[path.encode()].startswith(b"100755 blob ")
    assert repositories.git(bare, "cat-file", "blob", f"main:{path}") == b"\r\n\xff\0"
    assert repositories.git(bare, "fsck", "--full", "--connectivity-only") == b""
    assert repositories.git(bare, "log", "-1", "--format=%B").decode() == "subject\n\nbody: Nguyễn\n\n"


def test_only_what_is_needed_is_fetched_where_the_server_can(
    served: tuple, tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]
) -> None:
    bare, where = served
    branch = opened(where, tmp_path)
    branch.fetch()
    branch.read(f"{PLACE.decode()}/file.yaml")
    counted = repositories.git(tmp_path / "scratch.git", "count-objects", "-v").decode()
    here = sum(int(number) for number in re.findall(r"^(?:count|in-pack): (\d+)$", counted, re.MULTILINE))
    every = repositories.git(bare, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
    if not where.url.startswith("http"):
        assert here == 0, "a repository on this machine lends its objects"
    elif git_http._CONFIG["uploadpack.allowFilter"] == "true":
        assert here == 6, "the commit, four folders and the file"
    else:
        assert here == len(every)


def test_folders_are_found_however_they_are_written(
    tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]
) -> None:
    branch = opened(git.Remote(str(odd_repository(tmp_path / "odd.git"))), tmp_path)
    branch.fetch()
    assert "plain" in branch.folder("")
    assert branch.folder("./a b//overlays/") == branch.folder("a b/overlays") != {}
    assert branch.folder("nothing") == branch.folder("plain") == branch.folder("a b/overlays/dev/../dev") == {}
    assert branch.read("plain") == b"x\n"


@pytest.mark.parametrize("path", ["a b/link-plain", "a b/module-plain", "a b/overlays"])
def test_what_is_no_file_is_not_read(path: str, tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]) -> None:
    branch = opened(git.Remote(str(odd_repository(tmp_path / "odd.git"))), tmp_path)
    branch.fetch()
    with pytest.raises(InvalidInput, match=f"{path} in .* is not a plain file"):
        branch.read(path)
    with pytest.raises(NotFound, match=f"has no {path}-not on branch main"):
        branch.read(f"{path}-not")


def test_a_push_onto_another_head_is_a_lost_race_and_the_next_fetch_sees_it(
    gitops: Path, tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]
) -> None:
    branch = opened(git.Remote(str(gitops)), tmp_path)
    branch.fetch()
    mine = branch.commit("README.md", b"mine\n", "mine")
    theirs = repositories.commit(gitops, "main", {"README.md": "theirs\n"}, "theirs")
    with pytest.raises(LostRace, match=f"Another writer pushed to {gitops} first"):
        branch.push(mine)
    assert branch.fetch() == theirs == repositories.head(gitops)
    assert branch.read("README.md") == b"theirs\n"


def test_a_checkout_lends_nothing(tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]) -> None:
    bare, checkout = odd_repository(tmp_path / "odd.git"), tmp_path / "checkout"
    repositories.commit(bare, "main", {"more": "x\n"}, "second")
    repositories.git(tmp_path, "clone", "-q", str(bare), str(checkout))
    (checkout / "objects").mkdir()  # a folder of the user's
    (checkout / "HEAD").write_text("x\n")
    branch = opened(git.Remote(str(checkout)), tmp_path)
    assert branch.fetch() == repositories.head(bare)
    assert branch.read("more") == b"x\n"
    assert len(branch.log(50)) == 2


@pytest.mark.parametrize("config", ['[url "file:///nowhere"]\n\tinsteadOf = {}\n', "[broken\n"])
def test_the_folder_it_runs_in_has_no_say(
    config: str, tmp_path: Path, opened: Callable[[git.Remote, Path], Branch], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = odd_repository(tmp_path / "odd.git")
    (repositories.init(tmp_path / "here.git") / "config").open("a").write(config.format(bare))
    monkeypatch.chdir(tmp_path / "here.git")
    assert opened(git.Remote(str(bare)), tmp_path).fetch() == repositories.head(bare)


@pytest.mark.parametrize("name", ["main", "a/refs/heads/main", "refs/heads/main"])
def test_a_branch_is_found_by_its_whole_name(
    name: str, tmp_path: Path, opened: Callable[[git.Remote, Path], Branch]
) -> None:
    bare = odd_repository(tmp_path / "odd.git")
    for each in ("a/refs/heads/main", "refs/heads/main"):
        repositories.commit(bare, each, {"file": f"{each}\n"}, each)
    with Branch(git.Remote(str(bare)), name, tmp_path / "named.git") as branch:
        assert branch.fetch() == repositories.git(bare, "rev-parse", f"refs/heads/{name}").decode().strip()


def test_a_branch_that_is_not_there_is_named(tmp_path: Path) -> None:
    bare = odd_repository(tmp_path / "odd.git")
    with Branch(git.Remote(str(bare)), "ain", tmp_path / "named.git") as branch, pytest.raises(NotFound, match="ain"):
        branch.fetch()
