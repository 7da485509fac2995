"""What an image is made of has one name, known from git's trees alone: the same for the same inputs, and no others."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from tasks.core import git
from tasks.core.build.context import Policy, Source
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.image_rules import like_secrets
from tasks.core.images import Images, ImageSpec
from tests.sandbox import git_http, repositories
from tests.sandbox.examples import examples
from tests.sandbox.github import github

LEFT = Policy(submodules="leave")
APP = ImageSpec(name="app", dockerfile="build/Dockerfile")
ARGS = {"NODE_VERSION": "20"}


class Entry(NamedTuple):
    """A line of git fast-import: any mode, and for a submodule its commit."""

    mode: str
    content: str


FILES = {
    "build/Dockerfile": Entry("100644", "FROM scratch\nCOPY . /\n"),
    ".dockerignore": Entry("100644", "docs\n**/*.log\nbuild\n.*\n!docs/keep.md\n"),
    ".gitattributes": Entry("100644", "*.bat text eol=crlf\n"),
    "a.txt": Entry("100644", "a"),
    "a/b.txt": Entry("100644", "b"),
    "docs/guide.md": Entry("100644", "guide"),
    "docs/keep.md": Entry("100644", "keep"),
    "link": Entry("120000", "a.txt"),
    "run.bat": Entry("100644", "echo\n"),
    "run.sh": Entry("100755", "#!/bin/sh\n"),
    "ü/日本.txt": Entry("100644", "far"),
    "vendor/module": Entry("160000", "1" * 40),
}
"""Without ``docs/guide.md``, ``build`` and the files with a dot, which the ignore file leaves out of the context."""

EMPTY = {"vendor", "vendor/module"}
"""The folders that a checkout has and that no file is in."""

IN_CONTEXT = set(FILES) - {".dockerignore", ".gitattributes", "docs/guide.md"} | EMPTY


def commit(bare: Path, files: Mapping[str, Entry], message: str = "one") -> str:
    """A commit without a parent, so that it has these files and no others."""
    stream = f"commit refs/heads/main\ncommitter A <a@example.com> 1767225600 +0000\ndata {len(message)}\n{message}\n"
    for path, entry in files.items():
        if entry.mode == "160000":
            stream += f"M 160000 {entry.content} {path}\n"
        else:
            stream += f"M {entry.mode} inline {path}\ndata {len(entry.content.encode())}\n{entry.content}\n"
    repositories.git(bare, "fast-import", "--quiet", "--force", stdin=stream.encode())
    return repositories.head(bare)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return repositories.init(tmp_path / "bare.git")


def source(bare: Path, sha: str, scratch: Path) -> Source:
    return Source(git.Remote(str(bare)), sha, scratch / f"{sha}.git", LEFT)


def named(bare: Path, files: Mapping[str, Entry], scratch: Path, image: ImageSpec = APP) -> tuple[str, dict]:
    """The inputs' name, and what the engine would get."""
    made = source(bare, commit(bare, files), scratch)
    made.recipe(image)
    return made.inputs(image, image.arguments("20")), read(made.context(image))


def read(chunks: Iterator[bytes]) -> dict[str, tuple]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {
            each.name: (each.type, each.mode, each.linkname, each.isreg() and archive.extractfile(each).read())
            for each in archive
            if each.name != "."
        }


def blob(content: str) -> str:
    data = content.encode()
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()


def test_the_name_is_made_of_these_bytes(bare: Path, tmp_path: Path) -> None:
    """By hand: whoever changes what is hashed must change the version in it, or machines would not agree."""
    counted = {*IN_CONTEXT, ".dockerignore", ".gitattributes"} - EMPTY
    rows = {path: f"{FILES[path].mode} {blob(FILES[path].content)} {path}" for path in counted}
    rows |= {f"{path}/": f"040000  {path}/" for path in EMPTY}
    head = json.dumps(["v2", "build/Dockerfile", "linux/amd64", [], [["NODE_VERSION", "20"]], ["apart"]])
    wanted = hashlib.sha256("\0".join([head, *(rows[path] for path in sorted(rows))]).encode()).hexdigest()
    name, context = named(bare, FILES, tmp_path)
    assert name == f"inputs-v2-{wanted[:40]}"
    assert set(context) == IN_CONTEXT


SAME = {
    "an ignored file": {"docs/guide.md": Entry("100644", "another guide")},
    "another ignored file": {"docs/deep/new.md": Entry("100644", "new"), "a/debug.log": Entry("100644", "noise")},
    "one less": {"docs/guide.md": None},
    "a file beside the Dockerfile": {"build/notes.txt": Entry("100644", "notes")},
    "a submodule": {"vendor/module": Entry("160000", "2" * 40)},
}

OTHER = {
    "a file": {"a.txt": Entry("100644", "A")},
    "a file that is kept after all": {"docs/keep.md": Entry("100644", "kept")},
    "one more": {"new.txt": Entry("100644", "")},
    "one less": {"a/b.txt": None},
    "another name": {"a/b.txt": None, "a/c.txt": FILES["a/b.txt"]},
    "two names changed over": {"a.txt": FILES["a/b.txt"], "a/b.txt": FILES["a.txt"]},
    "may be run now": {"a.txt": Entry("100755", "a")},
    "may not be run any more": {"run.sh": Entry("100644", "#!/bin/sh\n")},
    "a link to elsewhere": {"link": Entry("120000", "a/b.txt")},
    "a file that says what the link said": {"link": Entry("100644", "a.txt")},
    "the Dockerfile, ignored": {"build/Dockerfile": Entry("100644", "FROM scratch\nCOPY a.txt /\n")},
    "the ignore file, ignored by itself": {
        ".dockerignore": Entry("100644", FILES[".dockerignore"].content + "a.txt\n")
    },
    "an ignore file of the Dockerfile's own": {"build/Dockerfile.dockerignore": Entry("100644", "a\n")},
    "a folder of ignored files": {"more/x.log": Entry("100644", "noise")},
    "how files are handed out": {".gitattributes": Entry("100644", "*.bat text eol=lf\n")},
}


def changed(change: Mapping[str, Entry | None]) -> dict[str, Entry]:
    return {path: entry for path, entry in {**FILES, **change}.items() if entry}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_is_in_no_image_changes_nothing(bare: Path, tmp_path: Path, change: dict) -> None:
    before, after = named(bare, FILES, tmp_path), named(bare, changed(change), tmp_path)
    assert after == before, "the same name for the same context"


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_what_may_be_in_an_image_makes_another_name(bare: Path, tmp_path: Path, change: dict) -> None:
    before, after = named(bare, FILES, tmp_path), named(bare, changed(change), tmp_path)
    assert after[1] != before[1], "the case is one"
    assert after[0] != before[0]


PARTS = st.one_of(
    st.sampled_from(
        [b"src", b"a" * 150, b"x.test.ts", b"-", b"!a", b" ", b"a b", b"*", b"\\", b"\xff\xfe", "日".encode()]
    ),
    st.sampled_from(
        [b"a" * 120 + b"\nx.test.ts", b"20 path=a.txt\n", b"a\r\n", b"11 size=0\n" + b"s" * 100, b"#x", b"[x"]
    ),
    st.binary(min_size=1, max_size=120).filter(lambda part: not {0, ord("/")} & {*part} and not part.startswith(b".")),
)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map(b"/".join)
MODES = st.sampled_from(["100644", "100755", "120000"])
TREES = st.dictionaries(PATHS, st.tuples(MODES, st.sampled_from([b"", b"one", b"two\n", b"l" * 200])), max_size=6)
IGNORED = st.sampled_from(["", "**/*.test.ts\n", "src\n", "*\n!src\n", "**/a*\n", "*.ts\n*20*\n"])
LONG = b"packages/" + b"a" * 150 + b"\nx.test.ts"


def commit_bytes(bare: Path, files: Mapping[bytes, tuple[str, bytes]]) -> str:
    """As :func:`commit`, for names of any bytes."""
    stream = b"commit refs/heads/main\ncommitter A <a@example.com> 1767225600 +0000\ndata 0\n"
    for path, (mode, content) in files.items():
        quoted = b"".join(b"\\%03o" % byte for byte in path)
        stream += b'M %s inline "%s"\ndata %d\n%s\n' % (mode.encode(), quoted, len(content), content)
    repositories.git(bare, "fast-import", "--quiet", "--force", stdin=stream)
    return repositories.head(bare)


def apart(files: Mapping[bytes, tuple]) -> dict[bytes, tuple]:
    """Without files that stand where another one has a folder: no commit has both."""
    folders = {path[:end] for path in files for end in range(len(path)) if path[end : end + 1] == b"/"}
    return {path: files[path] for path in files if path not in folders}


@settings(max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, TREES, IGNORED)
@example({}, {LONG: ("100644", b"evil()")}, "**/*.test.ts\n")
@example({}, {b"a/" * 80 + b"20 path=x\n": ("120000", b"x" * 300)}, "x\n")
def test_two_commits_have_one_name_only_if_they_have_one_context(
    bare: Path, tmp_path_factory: pytest.TempPathFactory, before: dict, more: dict, ignored: str
) -> None:
    always = {b"build/Dockerfile": ("100644", b"FROM scratch\n"), b".dockerignore": ("100644", ignored.encode())}
    seen = []
    for files in (apart(before | always), apart(before | more | always)):
        made = source(bare, commit_bytes(bare, files), tmp_path_factory.mktemp("scratch"))
        context = read(made.context(APP))
        for path, (_, mode, link, content) in context.items():
            if path.encode(errors="surrogateescape") not in files:
                assert any(each.startswith(os.fsencode(f"{path}/")) for each in files), "a folder of the commit"
                continue
            kind, data = files[path.encode(errors="surrogateescape")]
            assert (mode, content or link.encode()) == ({"100644": 0o644, "100755": 0o755, "120000": 0o777}[kind], data)
        seen.append((made.inputs(APP, ARGS), context))
    (name, context), (other, larger) = seen
    assert (name == other) == (context == larger)


def test_a_path_that_a_commit_lists_twice_is_rejected(bare: Path, tmp_path: Path) -> None:
    """Git never writes such a tree; a hand-made one could show the hash one file and the build another."""
    dockerfile, evil = (
        repositories.git(bare, "hash-object", "-w", "--stdin", stdin=text).decode().strip()
        for text in (b"FROM scratch\n", b"evil")
    )
    entries = b"".join(b"100644 Dockerfile\0" + bytes.fromhex(each) for each in (dockerfile, evil))
    tree = repositories.git(bare, "hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin=entries)
    raw = b"tree %s\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\nx\n" % tree.strip()
    sha = repositories.git(bare, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()
    with pytest.raises(InvalidInput, match=r"lists 'Dockerfile' twice"):
        source(bare, sha, tmp_path).inputs(ImageSpec(name="app", dockerfile="Dockerfile"), ARGS)


def test_attributes_above_the_context_count(bare: Path, tmp_path: Path) -> None:
    image = ImageSpec(name="app", dockerfile="Dockerfile", context="apps/app")
    files = {"apps/app/Dockerfile": FILES["build/Dockerfile"], "apps/app/run.bat": FILES["run.bat"]}
    names = set()
    for path, ends in ((".gitattributes", "crlf"), ("apps/.gitattributes", "crlf"), ("apps/.gitattributes", "lf")):
        attributes = {path: Entry("100644", f"*.bat text eol={ends}\n")}
        name, context = named(bare, files | attributes, tmp_path, image)
        assert context["run.bat"][3] == {"crlf": b"echo\r\n", "lf": b"echo\n"}[ends], "as a checkout has it"
        names.add(name)
    assert len(names) == 3
    beside = {"other/.gitattributes": Entry("100644", "x -text\n")}
    assert named(bare, files | beside, tmp_path, image) == named(bare, files, tmp_path, image)


def test_neither_order_nor_message_nor_history_matter(bare: Path, tmp_path: Path) -> None:
    first = source(bare, commit(bare, FILES), tmp_path)
    turned = source(bare, commit(bare, dict(reversed(FILES.items())), "another message"), tmp_path)
    later = source(bare, repositories.commit(bare, "main", {"docs/x.md": "x"}, "docs: more"), tmp_path)
    assert len({first.sha, turned.sha, later.sha}) == 3
    assert first.inputs(APP, ARGS) == turned.inputs(APP, ARGS) == later.inputs(APP, ARGS)


DESCRIPTIONS = {
    "arguments": {"build_args": {"EDITION": "full"}},
    "platform": {"platform": "linux/arm64"},
    "dockerfile": {"dockerfile": "a.txt"},
    "context": {"context": "build", "dockerfile": "Dockerfile"},
    "paths": {"paths": ["a", "link", "run.*", "ü"]},
}


@pytest.mark.parametrize("fields", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_what_the_image_is_told_counts(bare: Path, tmp_path: Path, fields: dict) -> None:
    other = ImageSpec(**{**dict(APP), **fields})
    assert named(bare, FILES, tmp_path)[0] != named(bare, FILES, tmp_path, other)[0]


def test_the_node_version_counts_and_the_name_does_not(bare: Path, tmp_path: Path) -> None:
    made = source(bare, commit(bare, FILES), tmp_path)
    assert made.inputs(APP, ARGS) != made.inputs(APP, {"NODE_VERSION": "22"})
    assert made.inputs(APP, ARGS) == made.inputs(ImageSpec(**{**dict(APP), "name": "renamed"}), ARGS)
    assert made.inputs(APP, {"A": "1", "B": "2"}) == made.inputs(APP, {"B": "2", "A": "1"})
    assert made.inputs(APP, {"A": "1", "B": "2"}) != made.inputs(APP, {"A": "2", "B": "1"})


LINKED = {
    "a link": {".dockerignore": Entry("120000", ".gitignore"), ".gitignore": Entry("100644", "secret.env\n")},
    "a link to a link": {
        ".dockerignore": Entry("120000", "build/ignore"),
        "build/ignore": Entry("120000", "../etc/ignore"),
        "etc/ignore": Entry("100644", "secret.env\n"),
    },
    "a folder that is a link": {
        ".dockerignore": Entry("120000", "etc/docker/ignore"),
        "etc": Entry("120000", "build/etc"),
        "build/etc/docker/ignore": Entry("100644", "secret.env\n"),
    },
    "its own, a link": {"build/Dockerfile.dockerignore": Entry("120000", "../i"), "i": Entry("100644", "secret.env\n")},
}


@pytest.mark.parametrize("links", LINKED.values(), ids=LINKED)
def test_an_ignore_file_is_found_through_links(bare: Path, tmp_path: Path, links: dict) -> None:
    files = {"build/Dockerfile": FILES["build/Dockerfile"], "secret.env": Entry("100644", "KEY=1\n"), **links}
    name, context = named(bare, files, tmp_path)
    assert set(context) == set(files) - {"secret.env"}
    target = next(path for path, entry in links.items() if entry.mode == "100644")
    more = {**files, target: Entry("100644", "secret.env\n# another text\n")}
    assert named(bare, more, tmp_path)[0] != name, "what the link leads to counts"


def test_a_dockerfile_is_found_through_links(bare: Path, tmp_path: Path) -> None:
    files = {
        "build": Entry("120000", "etc"),
        "etc/Dockerfile": Entry("120000", "Dockerfile.prod"),
        "etc/Dockerfile.prod": FILES["build/Dockerfile"],
        ".dockerignore": Entry("100644", "*\n"),
    }
    name, context = named(bare, files, tmp_path)
    assert set(context) == {"build", "etc/Dockerfile", "etc/Dockerfile.prod"}, "all that the engine needs to find it"
    files["etc/Dockerfile.prod"] = Entry("100644", "FROM scratch\nCOPY x /\n")
    assert named(bare, files, tmp_path)[0] != name
    files["etc/Dockerfile.prod"] = Entry("100644", "FROM scratch\nRUN --mount=type=secret,id=x cat /run/secrets/x\n")
    recipe = source(bare, commit(bare, files), tmp_path).recipe(APP)
    assert (recipe.path, [each.line for each in recipe.dockerfile.private()]) == ("etc/Dockerfile.prod", [2])


NOWHERE = {
    "to nothing": {".dockerignore": Entry("120000", ".gitignore")},
    "out of the commit": {".dockerignore": Entry("120000", "../../etc/passwd")},
    "to the machine": {"build/Dockerfile": Entry("120000", "/etc/passwd")},
    "in a circle": {".dockerignore": Entry("120000", "a"), "a": Entry("120000", ".dockerignore")},
    "to a folder": {".dockerignore": Entry("120000", "build")},
}


@pytest.mark.parametrize("links", NOWHERE.values(), ids=NOWHERE)
def test_a_link_that_leads_nowhere_is_rejected(bare: Path, tmp_path: Path, links: dict) -> None:
    with pytest.raises(InvalidInput, match=r"is a symbolic link, and its target .* isn't a file of the commit"):
        named(bare, {"build/Dockerfile": FILES["build/Dockerfile"], **links}, tmp_path)


def test_a_link_to_a_dockerfile_outside_of_the_context_is_followed(bare: Path, tmp_path: Path) -> None:
    files = {"app/Dockerfile": Entry("120000", "../Dockerfile"), "Dockerfile": FILES["build/Dockerfile"]}
    image = ImageSpec(name="app", dockerfile="Dockerfile", context="app")
    recipe = source(bare, commit(bare, files), tmp_path).recipe(image)
    assert recipe.path == "Dockerfile"
    assert recipe.apart == FILES["build/Dockerfile"].content.encode()


@pytest.mark.parametrize("path", ["build/Dockerfile", ".dockerignore"])
def test_no_more_is_read_than_people_write(bare: Path, tmp_path: Path, path: str) -> None:
    files = {"build/Dockerfile": FILES["build/Dockerfile"], path: Entry("100644", "#" * (512 * 1024 + 1))}
    with pytest.raises(InvalidInput, match=rf"{path} of commit [0-9a-f]{{7}} has 524289 bytes"):
        named(bare, files, tmp_path)


def test_paths_are_the_context_and_all_that_counts(bare: Path, tmp_path: Path) -> None:
    image = ImageSpec(**{**dict(APP), "paths": ["a", "**/*.sh", "docs"]})
    name, context = named(bare, FILES, tmp_path, image)
    assert set(context) == {"build/Dockerfile", "a/b.txt", "run.sh", "docs/keep.md"}, "ignored files stay out"
    beside, inside = {"a.txt": Entry("100644", "A")}, {"a/b.txt": Entry("100644", "B")}
    assert named(bare, changed(beside), tmp_path, image) == (name, context)
    assert named(bare, changed(inside), tmp_path, image)[0] != name


def test_a_folder_is_told_by_what_is_in_it(bare: Path, tmp_path: Path) -> None:
    image = ImageSpec(name="app", dockerfile="Dockerfile", context="./app/")
    moved = {f"app/{path.removeprefix('build/')}": entry for path, entry in FILES.items()}
    beside = {**moved, ".dockerignore": Entry("100644", "*\n"), "apple": Entry("100644", "no part of it")}
    assert named(bare, moved, tmp_path, image) == named(bare, beside, tmp_path, image)


def test_without_the_dockerfile_there_is_no_name(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no build/Dockerfile, which app is built from"):
        named(bare, changed({"build/Dockerfile": None}), tmp_path)


HTTP = "http", "http without filters", "http of the first version"


@pytest.fixture(params=HTTP)
def elsewhere(request: pytest.FixtureRequest, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    """The kind of server, and the way to it."""
    if request.param == HTTP[1]:
        monkeypatch.setitem(git_http._CONFIG, "uploadpack.allowFilter", "false")
    if request.param == HTTP[2]:
        monkeypatch.setitem(git_http._CONFIG, "uploadpack.allowAnySHA1InWant", "false")
        settings = git.environment

        def first_version(where: git.Remote) -> dict[str, str]:
            env = settings(where)
            last = int(env["GIT_CONFIG_COUNT"])
            more = {f"GIT_CONFIG_KEY_{last}": "protocol.version", f"GIT_CONFIG_VALUE_{last}": "0"}
            return env | more | {"GIT_CONFIG_COUNT": str(last + 1)}

        monkeypatch.setattr("tasks.core.git.cli.environment", first_version)
    with github({"acme/app": bare}, token="t-o-k-e-n") as hub:
        yield request.param, git.Remote(hub.clone_url("acme/app"), SecretStr("t-o-k-e-n"))


def blobs(repository: Path) -> set[str]:
    """Every file's content that a repository has, by its own packs and objects."""
    known = repositories.git(repository, "cat-file", "--batch-all-objects", "--batch-check").decode().splitlines()
    return {line.split()[0] for line in known if line.split()[1] == "blob"}


def test_the_name_costs_the_folders_and_a_build_the_files(
    elsewhere: tuple[str, git.Remote], bare: Path, tmp_path: Path
) -> None:
    kind, where = elsewhere
    sha = commit(bare, FILES)
    wanted = named(bare, FILES, tmp_path)
    made = Source(where, sha, tmp_path / "far.git", LEFT)

    assert made.inputs(APP, ARGS) == made.inputs(APP, ARGS) == wanted[0]
    ignore_file, everything = {blob(FILES[".dockerignore"].content)}, blobs(bare)
    held = set().union(*(blobs(each) for each in tmp_path.glob("far.git*")))
    assert held == (ignore_file if kind == "http" else everything)

    assert read(made.context(APP)) == wanted[1]
    repositories_made = {each.name for each in tmp_path.glob("far.git*")}
    assert ("far.git" in repositories_made) == (kind != "http without filters"), "fetched once where all came at once"


REFUSED = {
    "secrets": ["npmrc"],
    "ssh": "default",
    "platforms": ["linux/amd64", "linux/arm64"],
    "platform": "linux/amd64, linux/arm64",
    "build_args": {"NODE_VERSION": "x"},
    "dockerfile": "../Dockerfile",
    "context": "/srv",
    "name": "Flowise",
    "target": "a stage",
}


@pytest.mark.parametrize(("field", "value"), REFUSED.items())
def test_a_description_that_cannot_be_done_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Images.model_validate({"ui": {field: value}})


def test_arguments_that_look_like_secrets() -> None:
    """Only warned of; the names are from BuildKit's own tests of SecretsUsedInArgOrEnv."""
    assert like_secrets(["token", "GITHUB_TOKEN", "DB_PASSWORD", "API_KEY", "SSH_KEY"]) == [
        "token",
        "GITHUB_TOKEN",
        "DB_PASSWORD",
        "API_KEY",
        "SSH_KEY",
    ]
    assert like_secrets(["MONKEY", "EDITION", "VITE_STRIPE_PUBLIC_KEY", "PUBLIC_TOKEN"]) == []
    assert ImageSpec(**{**dict(APP), "build_args": {"GITHUB_TOKEN": "x"}}).build_args


def test_each_target_has_a_name_of_its_own(bare: Path, tmp_path: Path) -> None:
    files = {"build/Dockerfile": Entry("100644", "FROM scratch AS one\nFROM one AS two\n")}
    commit_of = changed(files)
    first, second = (named(bare, commit_of, tmp_path, APP.model_copy(update={"target": t}))[0] for t in ("one", "two"))
    assert first != second
    with pytest.raises(NotFound, match="no stage three"):
        named(bare, commit_of, tmp_path, APP.model_copy(update={"target": "three"}))


ENTRIES = {
    ("flowise-server", "", ("flowise-server",)): "flowise-server",
    ("flowise-server", "", ()): "flowise-server",
    ("team/flowise-server", "", ("flowise-server",)): "flowise-server",
    ("team/flowise-server", "", ("team/flowise-server", "flowise-server")): "team/flowise-server",
    ("team/flowise-server", "", ("other",)): "team/flowise-server",
    ("team/flowise-server", "server", ("flowise-server",)): "server",
}


@pytest.mark.parametrize(("given", "wanted"), ENTRIES.items())
def test_the_entry_of_an_image(given: tuple, wanted: str) -> None:
    name, manifest_name, known = given
    assert ImageSpec(name=name, manifest_name=manifest_name, dockerfile="Dockerfile").entry(known) == wanted


def test_what_is_not_said_of_an_image_is_the_default() -> None:
    images = Images.model_validate({"server": {"name": "acme/server", "build_args": {"EDITION": "full"}}})
    assert images.ui == Images().ui
    assert (images.server.name, images.server.dockerfile) == ("acme/server", "packages/server/Dockerfile")
    with pytest.raises(ValidationError, match="both images are called flowise-ui"):
        Images.model_validate({"server": {"name": "flowise-ui"}})
