"""A commit's files become a build context: all of them, as they are, and nothing is left on disk."""

import io
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from tasks.core import git
from tasks.core.build import context as source_module
from tasks.core.build import docker_engine
from tasks.core.build.connection import connect
from tasks.core.build.context import Source, checkout
from tasks.core.errors import NotFound, Unavailable
from tasks.core.images import SERVER, ImageSpec
from tests.sandbox import repositories

AT_ROOT = ImageSpec(name="app", dockerfile="Dockerfile")
LEFT_OUT = {
    ".github/workflows/deploy-to-k8s.yml",
    "secret.env",
    "docs/guide.md",
    "packages/server/debug.log",
    "packages/server/node_modules/left-pad/index.js",
}
"""What the sample's ``.dockerignore`` means, by hand."""


def test_is_what_the_commit_has_without_what_is_ignored(source: Path, tmp_path: Path) -> None:
    sha = repositories.head(source)
    held = listed(source, sha)
    assert set(held) >= LEFT_OUT
    streamed = read(Source(git.Remote(str(source)), sha, tmp_path / "fetched.git").context(SERVER))
    assert set(streamed) == set(held) - LEFT_OUT
    for path, (mode, content) in streamed.items():
        assert content == repositories.git(source, "cat-file", "blob", f"{sha}:{path}"), path
        assert mode == {"100644": 0o644, "100755": 0o755}[held[path]], path
    assert streamed["packages/ui/scripts/build.sh"][0] == 0o755


def test_an_older_commit_is_that_commit(source: Path, tmp_path: Path) -> None:
    older = repositories.git(source, "rev-parse", "main~2").decode().strip()
    streamed = read(Source(git.Remote(str(source)), older, tmp_path / "fetched.git").context(SERVER))
    assert b"res.send('pong')" in streamed["packages/server/src/index.ts"][1]
    assert "packages/components/src/agent.ts" not in streamed


def test_links_stay_links(bare: Path, tmp_path: Path) -> None:
    far = "far/" * 40 + "away"  # longer than a header has room for
    sha = commit_links(bare, {"link": "Dockerfile", "far-link": far})
    entries = {each.name: each for each in members(context(bare, sha, tmp_path))}
    assert {name: entries[name].linkname for name in ("link", "far-link")} == {"link": "Dockerfile", "far-link": far}
    assert all(entries[name].issym() for name in ("link", "far-link"))


def test_attributes_change_nothing(bare: Path, tmp_path: Path) -> None:
    files = {
        ".gitattributes": "secret.txt export-ignore\nversion.txt export-subst\n*.bat text eol=crlf\n",
        "secret.txt": "kept",
        "version.txt": "$Format:%H$",
    }
    streamed = read(context(bare, commit(bare, files), tmp_path))
    assert streamed["secret.txt"][1] == b"kept"
    assert streamed["version.txt"][1] == b"$Format:%H$"


ATTRIBUTES = """\
[attr]windows text eol=crlf
*.auto text=auto
*.crlf text eol=crlf
*.lf text eol=lf
*.utf16 text working-tree-encoding=UTF-16LE eol=lf
*.ident ident
*.macro windows
*.bin -text
*.both text eol=crlf ident
secret.* export-ignore
version.* export-subst
"""
LINES, LINES_CRLF = b"one\ntwo\n", b"one\r\ntwo\r\n"
KINDS = {
    b".gitattributes": ATTRIBUTES.encode(),
    b"sub/.gitattributes": b"*.lf text eol=crlf\n*.crlf -text\n",
    b".gitignore": b"*.ignored\n",
    b"tracked.ignored": LINES,
    **{b"lines." + kind: LINES for kind in (b"auto", b"crlf", b"lf", b"ident", b"macro", b"bin", b"txt", b"both")},
    **{b"crlf." + kind: LINES_CRLF for kind in (b"auto", b"bin", b"txt")},
    **{b"sub/lines." + kind: LINES for kind in (b"crlf", b"lf", b"macro")},
    b"wide.utf16": "one\n日本\n".encode("utf-16le"),
    b"keyword.ident": b"$Id$ and $Id: of before$\n",
    b"keyword.both": b"$Id$\nmore\n",
    b"secret.txt": b"kept",
    b"version.txt": b"$Format:%H$",
    b"empty": b"",
    b"empty.crlf": b"",
    b"nul.auto": b"a\0b\n\r\n",
    b"mixed.auto": b"a\r\nb\n",
    b"no-end.crlf": b"one\ntwo",
    b"bom.crlf": b"\xef\xbb\xbfone\n",
    b"old-mac.crlf": b"one\rtwo\r",
    b"exactly-a-block": b"x" * 512,
    b"large.crlf": b"line\n" * 100_000,
    b".hidden/.file": b"h",
    b"Case": b"1",
    b"case": b"2",
    b"with space/and 'quote' \"two\"": b"q",
    b"new\nline": b"n",
    b"tab\tand\rreturn": b"t",
    b"back\\slash": b"b",
    b"-dash": b"d",
    b"*": b"star",
    b":(top)x": b"magic",
    b"end ": b"space",
    b"latin-\xe9": b"no UTF-8",
    "é".encode(): b"composed",
    "e\u0301".encode(): b"decomposed",
    b"d" * 200 + b"/" + b"f" * 200: b"long",
    b"deep/" * 60 + b"file": b"deep",
}
TOOLS = {b"run.sh": b"#!/bin/sh\n", b"run.crlf": b"@echo off\n"}
TARGETS = {
    b"link": b"empty",
    b"to-a-folder": b"sub",
    b"dangling": b"nowhere",
    b"absolute": b"/etc/passwd",
    b"far": b"x/" * 200 + b"x",
}


@pytest.mark.parametrize("folder", ["", "apps/one/"])
def test_is_what_a_checkout_has_byte_by_byte(bare: Path, tmp_path: Path, folder: str) -> None:
    work, clone = tmp_path / "work", tmp_path / "clone"
    repositories.git(None, "clone", "-q", str(bare), str(work))
    for path, content in {**KINDS, **TOOLS}.items():
        file = work / folder / os.fsdecode(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if path in TOOLS else 0o644)
    for path, target in TARGETS.items():
        (work / folder / os.fsdecode(path)).symlink_to(os.fsdecode(target))
    (work / folder / "Dockerfile").write_text("FROM scratch\n")
    (work / ".gitattributes").write_text(f"{ATTRIBUTES}*.above text eol=crlf\n")
    (work / folder / "lines.above").write_bytes(LINES)
    at = [f"--work-tree={work}", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    repositories.git(work / ".git", *at, "add", "-A", "-f", ".")
    repositories.git(work / ".git", *at, "commit", "-q", "-m", "every kind of file")
    repositories.git(work / ".git", "push", "-q", str(bare), "HEAD:refs/heads/main")
    repositories.git(None, "clone", "-q", str(bare), str(clone))
    image = ImageSpec(name="app", dockerfile="Dockerfile", context=folder or ".")
    assert on_disk(clone / folder) == everything(context(bare, repositories.head(bare), tmp_path, image))


def test_a_folder_whose_files_are_ignored_is_there(bare: Path, tmp_path: Path) -> None:
    """A checkout has it, and COPY fails without."""
    files = {"logs/a/one": "1", "logs/two": "2", "docs/x": "x", "src/in": "in", "src/out": "out", "way/down/to/y": "y"}
    ignored = {".dockerignore": "logs/*\n!logs/a\nlogs/a/*\ndocs\n**/out\n**/y\n"}
    sha = commit(bare, files | ignored)
    folders = [each.name for each in members(context(bare, sha, tmp_path)) if each.isdir()]
    assert folders == [".", "logs", "logs/a", "way", "way/down", "way/down/to"]


@pytest.mark.usefixtures("docker_host")
def test_the_engine_copies_a_folder_without_files(bare: Path, tmp_path: Path) -> None:
    sha = commit(bare, {"logs/one": "1", ".dockerignore": "logs/*\n", "Dockerfile": "FROM scratch\nCOPY logs /logs\n"})
    with connect(30) as engine, closing(context(bare, sha, tmp_path)) as sent:
        built = docker_engine.build(engine, AT_ROOT, sent, {}, timeout=30, log=lambda _: None)
        engine.remove_image(built, force=True)


def on_disk(root: Path) -> dict[str, tuple]:
    """What a checkout is: for a file its mode and content, for a link its target."""
    found = dict[str, tuple]()
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if each != ".git"]
        for path in (Path(folder, each) for each in [*folders, *files]):
            if path.is_symlink():
                found[str(path.relative_to(root))] = ("link", str(path.readlink()))
            elif path.is_file():
                found[str(path.relative_to(root))] = (path.stat().st_mode & 0o777, path.read_bytes())
    return found


def everything(chunks: Iterator[bytes]) -> dict[str, tuple]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {
            each.name: ("link", each.linkname) if each.issym() else (each.mode, archive.extractfile(each).read())
            for each in archive
            if not each.isdir()
        }


NAMES = (
    "a/" + "long-" * 30 + "name.txt",
    "deep/" * 60 + "file",
    "ümläut/日本語.txt",
    "with space/and 'quote'",
    "-dash",
)


def test_any_name(bare: Path, tmp_path: Path) -> None:
    streamed = read(context(bare, commit(bare, dict.fromkeys(NAMES, "here")), tmp_path))
    assert {name: streamed[name][1] for name in NAMES} == dict.fromkeys(NAMES, b"here")


@pytest.mark.parametrize("first", ["A" * 90 + "/" + "b" * 90, "A-plain-name"])
def test_the_first_entry_is_one_the_engine_knows_an_archive_by(bare: Path, tmp_path: Path, first: str) -> None:
    """BuildKit reads 1024 bytes; without a whole entry in them it takes the archive for a Dockerfile."""
    begin = b"".join(context(bare, commit(bare, {first: "x"}), tmp_path))[:1024]
    assert begin[156:157] not in b"xgLK"
    with tarfile.open(fileobj=io.BytesIO(begin)) as archive:
        assert archive.next() is not None


@pytest.mark.usefixtures("docker_host")
def test_the_engine_takes_a_context_that_begins_with_a_long_name(bare: Path, tmp_path: Path) -> None:
    sha = commit(bare, {"A" * 90 + "/" + "b" * 90: "x", "Dockerfile": "FROM scratch\nCOPY . /\n"})
    with connect(30) as engine:
        sent = context(bare, sha, tmp_path)
        built = docker_engine.build(engine, AT_ROOT, sent, {}, timeout=30, log=lambda _: None)
        assert engine.inspect_image(built)["RootFS"]["Layers"]
        engine.remove_image(built, force=True)


@pytest.mark.usefixtures("docker_host")
def test_the_engine_follows_a_dockerfile_that_is_a_link(bare: Path, tmp_path: Path) -> None:
    sha = commit_links(bare, {"linked": "Dockerfile"})
    image = ImageSpec(name="app", dockerfile="linked")
    with connect(30) as engine, closing(context(bare, sha, tmp_path, image)) as sent:
        built = docker_engine.build(engine, image, sent, {}, timeout=30, log=lambda _: None)
        engine.remove_image(built, force=True)


def test_a_large_file_comes_in_pieces(bare: Path, tmp_path: Path) -> None:
    large = os.urandom(20 * 1024 * 1024)
    chunks = list(context(bare, commit(bare, {"large.bin": large, "z-last": "after it"}), tmp_path))
    assert max(map(len, chunks)) < 1024 * 1024
    streamed = read(iter(chunks))
    assert streamed["large.bin"][1] == large
    assert streamed["z-last"][1] == b"after it"


@pytest.mark.parametrize(
    ("ignores", "left_out"),
    [
        ({}, set()),
        ({".dockerignore": "a.txt\n"}, {"a.txt"}),
        ({".dockerignore": "a.txt\n", "packages/server/Dockerfile.dockerignore": "b.txt\n"}, {"b.txt"}),
        ({".dockerignore": "a.txt\n", "packages/server/Dockerfile.dockerignore": ""}, set()),
        ({".dockerignore": "a.txt\n", "Dockerfile.dockerignore": "b.txt\n"}, {"a.txt"}),
        ({".dockerignore": "packages\n*.txt\n"}, {"a.txt", "b.txt", "packages/server/x.ts"}),
    ],
)
def test_which_ignore_file_counts(bare: Path, tmp_path: Path, ignores: dict[str, str], left_out: set[str]) -> None:
    files = {"a.txt": "", "b.txt": "", "packages/server/x.ts": "", "packages/server/Dockerfile": "FROM scratch\n"}
    sha = commit(bare, files | ignores)
    streamed = read(context(bare, sha, tmp_path, SERVER))
    assert set(files) - set(streamed) == left_out


@pytest.mark.parametrize("folder", ["app", "app/"])
def test_a_folder_of_the_repository(bare: Path, tmp_path: Path, folder: str) -> None:
    files = {
        "app/Dockerfile": "FROM scratch\n",
        "app/.dockerignore": "skip.txt\n",
        "app/skip.txt": "",
        "app/src/in.txt": "in",
        "outside.txt": "",
        ".dockerignore": "src\n",
    }
    image = ImageSpec(name="app", dockerfile="Dockerfile", context=folder)
    streamed = read(context(bare, commit(bare, files), tmp_path, image))
    assert set(streamed) == {"Dockerfile", ".dockerignore", "src/in.txt"}


@pytest.mark.parametrize(
    "image",
    [
        ImageSpec(name="flowise-ui", dockerfile="packages/ui/Dockerfile"),
        ImageSpec(name="flowise-ui", dockerfile="Dockerfile", context="packages/ui"),
    ],
)
def test_without_the_dockerfile_nothing_is_streamed(bare: Path, tmp_path: Path, image: ImageSpec) -> None:
    sha = commit(bare, {})
    with pytest.raises(NotFound) as failure:  # by the call: nobody reads the stream
        context(bare, sha, tmp_path, image)
    assert all(part in str(failure.value) for part in (sha[:7], "packages/ui/Dockerfile", "flowise-ui", str(bare)))


def test_two_builds_fetch_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetches, fetch, together = [], git.fetch_commit, threading.Barrier(2)

    def counted(*arguments: object) -> None:
        fetches.append(arguments)
        fetch(*arguments)

    monkeypatch.setattr(git, "fetch_commit", counted)
    shared = Source(git.Remote(str(source)), repositories.head(source), tmp_path / "fetched.git")
    results: list[dict] = []

    def build() -> None:
        together.wait()
        results.append(read(shared.context(SERVER)))

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(fetches) == 1
    assert len(results) == 2
    assert results[0] == results[1]


@pytest.mark.parametrize("ended", ["read to its end", "closed"])
def test_a_context_is_read_once_the_one_before_is_done(source: Path, tmp_path: Path, ended: str) -> None:
    shared = Source(git.Remote(str(source)), repositories.head(source), tmp_path / "fetched.git")
    first, second = shared.context(SERVER), shared.context(SERVER)
    next(first)
    began = threading.Event()
    reading = threading.Thread(target=lambda: next(second) and began.set(), daemon=True)
    reading.start()
    assert not began.wait(0.3)
    first.close() if ended == "closed" else list(first)
    assert began.wait(30)
    reading.join()
    second.close()


def test_a_context_that_nobody_reads_holds_no_other_up(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "SENDING", 0.1)
    shared = Source(git.Remote(str(source)), repositories.head(source), tmp_path / "fetched.git")
    with closing(shared.context(SERVER)) as stuck:
        next(stuck)
        assert read(shared.context(SERVER))
    assert read(shared.context(SERVER))


BOTH = "lent.git", "copied.git"


def test_a_repository_on_this_machine_lends_its_files(source: Path, tmp_path: Path) -> None:
    sha = repositories.head(source)
    lent = Source(git.Remote(str(source)), sha, tmp_path / "lent.git")
    copied = Source(git.Remote(source.as_uri()), sha, tmp_path / "copied.git")
    assert read(lent.context(SERVER)) == read(copied.context(SERVER))
    own = {name: {path.name for path in (tmp_path / name / "objects").rglob("*") if path.is_file()} for name in BOTH}
    assert own["lent.git"] == {"alternates"}
    assert len(own["copied.git"]) > 1


def test_a_failed_fetch_is_tried_again(source: Path, tmp_path: Path) -> None:
    moved = source.rename(tmp_path / "elsewhere.git")
    shared = Source(git.Remote(str(source)), repositories.head(moved), tmp_path / "fetched.git")
    with pytest.raises(NotFound):
        shared.repository()
    moved.rename(source)
    assert read(shared.context(SERVER))


def test_a_commit_that_is_not_there(source: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="0123456789" * 4):
        Source(git.Remote(str(source)), "0123456789" * 4, tmp_path / "fetched.git").context(SERVER)


def test_a_server_that_hands_out_branches_and_tags_only(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git servers do in the protocol's first version unless they are told otherwise."""
    settings = git.environment

    def first_version(where: git.Remote) -> dict[str, str]:
        env = settings(where)
        last = int(env["GIT_CONFIG_COUNT"])
        more = {f"GIT_CONFIG_KEY_{last}": "protocol.version", f"GIT_CONFIG_VALUE_{last}": "0"}
        return env | more | {"GIT_CONFIG_COUNT": str(last + 1)}

    monkeypatch.setattr("tasks.core.git.cli.environment", first_version)
    where, older = git.Remote(source.as_uri()), repositories.git(source, "rev-parse", "main~2").decode().strip()
    git.init(tmp_path / "refused.git", where)
    with pytest.raises(NotFound, match="unadvertised object"):
        git.run(where, "fetch", "--depth=1", "origin", older, directory=tmp_path / "refused.git")
    streamed = read(Source(where, older, tmp_path / "fetched.git").context(SERVER))
    assert b"res.send('pong')" in streamed["packages/server/src/index.ts"][1]
    with pytest.raises(NotFound, match="0123456789" * 4):
        Source(where, "0123456789" * 4, tmp_path / "other.git").repository()


def test_files_that_cannot_be_read_any_more(source: Path, tmp_path: Path) -> None:
    stream = Source(git.Remote(str(source)), repositories.head(source), tmp_path / "fetched.git").context(SERVER)
    shutil.rmtree(tmp_path / "fetched.git" / "objects")
    with pytest.raises(Unavailable, match=repositories.head(source)[:7]):
        list(stream)


def test_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    where, sha = git.Remote(str(source)), repositories.head(source)
    with checkout(where, sha, work):
        assert [*work.rglob("*.git")] == []  # fetched by nobody
    with checkout(where, sha, work) as used:
        assert read(used.context(SERVER))
        assert [*work.rglob("*.git")] != []
    assert [*work.iterdir()] == []
    with pytest.raises(KeyboardInterrupt), checkout(where, sha, work) as stopped:
        with closing(stopped.context(SERVER)) as stream:
            next(stream)
        raise KeyboardInterrupt
    assert [*work.iterdir()] == []


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return repositories.init(tmp_path / "bare.git")


def commit(bare: Path, files: Mapping[str, str | bytes]) -> str:
    return repositories.commit(bare, "main", {"Dockerfile": "FROM scratch\n", **files}, "feat: one tree")


def commit_links(bare: Path, links: Mapping[str, str]) -> str:
    """A commit with symbolic links, which ``repositories.commit`` does not make."""
    tree = repositories.git(bare, "ls-tree", commit(bare, {}))
    for name, target in links.items():
        blob = repositories.git(bare, "hash-object", "-w", "--stdin", stdin=target.encode()).decode().strip()
        tree += f"120000 blob {blob}\t{name}\n".encode()
    made = repositories.git(bare, "mktree", stdin=tree).decode().strip()
    who = ("-c", "user.name=Sandbox", "-c", "user.email=sandbox@example.com")
    sha = repositories.git(bare, *who, "commit-tree", "-m", "links", made).decode().strip()
    repositories.git(bare, "update-ref", "refs/heads/main", sha)
    return sha


def listed(bare: Path, sha: str) -> dict[str, str]:
    """Mode by path, as git says."""
    lines = repositories.git(bare, "ls-tree", "-r", "-z", sha).decode().split("\0")
    return {path: left.split()[0] for left, _, path in (line.partition("\t") for line in lines if line)}


def context(bare: Path, sha: str, scratch: Path, image: ImageSpec = AT_ROOT) -> Iterator[bytes]:
    return Source(git.Remote(str(bare)), sha, scratch / "fetched.git").context(image)


def members(chunks: Iterator[bytes]) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return archive.getmembers()


def read(chunks: Iterator[bytes]) -> dict[str, tuple[int, bytes]]:
    """Mode and content of every file, by path; a path that comes twice is a failure."""
    found: dict[str, tuple[int, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        for each in archive:
            if not each.isdir():
                assert each.name not in found
                found[each.name] = (each.mode, archive.extractfile(each).read())
    return found
