"""`.dockerignore` means what it means to the docker command, which is asked itself where there is one."""

import io
import json
import os
import posixpath
import re
import shutil
import subprocess
import tarfile
import time
from contextlib import closing
from pathlib import Path

import docker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.core import git
from tasks.core.build.context import Source
from tasks.core.build.dockerignore import Ignore
from tasks.core.errors import InvalidInput
from tasks.core.images import ImageSpec
from tests.sandbox import repositories
from tests.sandbox.examples import examples

TREE = {
    "app.log",
    "b.txt",
    "docs/guide.md",
    "docs/keep.md",
    "docs/more/deep.md",
    "É.txt",
    "node_modules/a/index.js",
    "packages/ui/Readme.md",
    "packages/ui/node_modules/b/c/index.js",
    "packages/ui/src/a1.ts",
    "packages/ui/src/a2.ts",
    "packages/ui/src/app.log",
    "packages/ui/src/az.ts",
    "#hash",
    "!bang",
}

CASES = {
    "nothing": ("", set()),
    "name at the root only": ("app.log", {"app.log"}),
    "star": ("*.log", {"app.log"}),
    "star does not cross folders": ("packages/*.ts", set()),
    "folder": ("docs", {"docs/guide.md", "docs/keep.md", "docs/more/deep.md"}),
    "trailing slash": ("docs/", {"docs/guide.md", "docs/keep.md", "docs/more/deep.md"}),
    "leading slash": ("/docs/guide.md", {"docs/guide.md"}),
    "clean": ("./docs//more/../guide.md", {"docs/guide.md"}),
    "above the context": ("../b.txt", set()),
    "the context itself": (".\n/\n", set()),
    "any depth": ("**/node_modules", {"node_modules/a/index.js", "packages/ui/node_modules/b/c/index.js"}),
    "any depth, by ending": ("**/*.log", {"app.log", "packages/ui/src/app.log"}),
    "depth in between": ("packages/**/*.log", {"packages/ui/src/app.log"}),
    "all below": ("docs/**", {"docs/guide.md", "docs/keep.md", "docs/more/deep.md"}),
    "everything": ("**", TREE),
    "everything but": ("*\n!packages/ui/src", TREE - {each for each in TREE if each.startswith("packages/ui/src/")}),
    "exception": ("docs\n!docs/keep.md", {"docs/guide.md", "docs/more/deep.md"}),
    "exception of a folder": ("docs\n!docs/more", {"docs/guide.md", "docs/keep.md"}),
    "exception with spaces": ("docs\n!  /docs/keep.md  ", {"docs/guide.md", "docs/more/deep.md"}),
    "exception first": ("!docs/keep.md\ndocs", {"docs/guide.md", "docs/keep.md", "docs/more/deep.md"}),
    "back and forth": ("docs\n!docs/*.md\ndocs/keep.md", {"docs/keep.md", "docs/more/deep.md"}),
    "comment": ("# docs\n#hash\napp.log", {"app.log"}),
    "no comment, being indented": (" #hash", {"#hash"}),
    "empty lines": ("\n\n  \napp.log\n\n", {"app.log"}),
    "byte order mark": ("\ufeffapp.log", {"app.log"}),
    "windows line ends": ("docs\r\n!docs/keep.md\r\n", {"docs/guide.md", "docs/more/deep.md"}),
    "case matters": ("packages/ui/README.md\nB.TXT", set()),
    "question mark": ("packages/ui/src/a?.ts", {f"packages/ui/src/{name}.ts" for name in ("a1", "a2", "az")}),
    "question mark is no slash": ("docs?keep.md", set()),
    "set": ("**/a[0-9].ts", {"packages/ui/src/a1.ts", "packages/ui/src/a2.ts"}),
    "set of all others": ("**/a[^0-9].ts", {"packages/ui/src/az.ts"}),
    "exclamation mark in a set": ("**/a[!1].ts", {"packages/ui/src/a1.ts"}),
    "dot is a dot": ("b?txt\n!b.txt\nappxlog", set()),
    "escaped": ("\\!bang\n\\#hash\n\\*.log", {"!bang", "#hash"}),
    "not ascii": ("?.txt", {"É.txt", "b.txt"}),
    "line separators are no line ends": ("app.log\u2028b.txt", set()),
}


@pytest.mark.parametrize(("text", "left_out"), CASES.values(), ids=CASES)
def test_leaves_out(text: str, left_out: set[str]) -> None:
    ignore = Ignore(text)
    assert {path for path in TREE if not ignore.keeps(path)} == left_out


def test_two_stars_reach_into_a_name() -> None:
    """As patternmatcher does since 2022; older engines took ``**.log`` for ``**/.log``."""
    assert not Ignore("**.log").keeps("packages/app.log")


SLOW = {
    "stars": ("*a" * 10 + "*b", "a" * 60),
    "folders": ("**/a/" * 40 + "b", "a/" * 500 + "c"),
    "folders and stars": ("**/*a*a" * 40 + "b", "aaaa/" * 400 + "c"),
    "stars upon stars": ("**" * 10_000 + "/b", "a/" * 1000 + "c"),
    "sets": ("*[ab]" * 200 + "c", "ab" * 2000),
    "question marks": ("*?" * 1000 + "b", "a" * 4000),
    "many lines": ("*a*a*a*a*b\n" * 5000, "a" * 200),
}


@pytest.mark.parametrize(("text", "path"), SLOW.values(), ids=SLOW)
def test_takes_no_longer_than_what_there_is_to_read(text: str, path: str) -> None:
    """A regular expression of Python's would not come back from most of these."""
    begun = time.process_time()
    assert Ignore(text).keeps(path)
    assert time.process_time() - begun < 5


PATTERNS = st.lists(
    st.text(st.sampled_from("a/*?"), min_size=1, max_size=6).filter(lambda text: ".." not in text), max_size=4
)
NAMED = st.text(st.sampled_from("ab/"), min_size=1, max_size=9).filter(
    lambda path: not ({path[0], path[-1]} & {"/"} or "//" in path)
)


@settings(max_examples=examples(300), deadline=None)
@given(PATTERNS, st.lists(NAMED, min_size=1, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
def test_matches_what_a_regular_expression_does(patterns: list[str], paths: list[str], turned: list[bool]) -> None:
    """patternmatcher's own translation, tried with Python's expressions, on patterns too short to be slow."""
    ignore = Ignore("\n".join("!" * turn + pattern for turn, pattern in zip(turned, patterns, strict=False)))
    for path in paths:
        kept = True
        for turn, pattern in zip(turned, patterns, strict=False):
            cleaned = posixpath.normpath("/" + pattern).lstrip("/")
            source = re.sub(r"\*\*/?\Z|\*\*/?|\*|\?", moby, cleaned)
            if cleaned and any(re.fullmatch(source, path[:end]) for end in ends(path)):
                kept = turn
        assert ignore.keeps(path) == kept


def moby(found: re.Match[str]) -> str:
    if found[0].startswith("**"):
        ends, text = found.end() == len(found.string), found.string
        suffix = found.start() == 0 and not found[0].endswith("/") and not set(text[2:]) & {*"*?"}
        return ".*" if ends or suffix else "(.*/)?"
    return {"*": "[^/]*", "?": "[^/]"}[found[0]]


def ends(path: str) -> list[int]:
    """Where the path and the folders above it end."""
    return [each.start() for each in re.finditer("/", path)] + [len(path)]


@pytest.mark.parametrize("pattern", ["[z-a]", "docs/[ab", "!a[]"])
def test_a_broken_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        Ignore(f"ok\n{pattern}\n")
    assert pattern.removeprefix("!") in str(failure.value)


@pytest.mark.parametrize("case", CASES)
def test_as_the_docker_command_does(case: str, docker_command: str, docker_host: str, tmp_path: Path) -> None:
    text, left_out = CASES[case]
    files = {**dict.fromkeys(TREE, "."), ".dockerignore": text, "Dockerfile": "FROM scratch\nCOPY . /\n"}
    bare = repositories.init(tmp_path / "source.git")
    sha = repositories.commit(bare, "main", files, "feat: one tree")
    own = {"Dockerfile", ".dockerignore"}  # Docker reads them on their own account
    assert TREE - left_out == built_by(docker_command, docker_host, bare, tmp_path) - own
    assert TREE - left_out == streamed(bare, sha, tmp_path) - own


@pytest.fixture
def docker_command() -> str:
    return shutil.which("docker") or pytest.skip("There is no docker command to compare with.")


def streamed(bare: Path, sha: str, scratch: Path) -> set[str]:
    source = Source(git.Remote(str(bare)), sha, scratch / "scratch.git")
    chunks = source.context(ImageSpec(name="tree", dockerfile="Dockerfile"))
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as context:
        return {each.name for each in context if not each.isdir()}


def built_by(command: str, docker_host: str, bare: Path, scratch: Path) -> set[str]:
    checkout, ids = scratch / "checkout", scratch / "image"
    repositories.git(None, "clone", "--quiet", "--branch=main", str(bare), str(checkout))
    shutil.rmtree(checkout / ".git")
    env = {"PATH": os.environ["PATH"], "HOME": str(scratch), "DOCKER_HOST": docker_host}
    build = [command, "build", "--quiet", f"--iidfile={ids}", str(checkout)]
    for buildkit in ("1", "0"):  # a docker command without its buildx part has the classic builder alone
        answer = subprocess.run(
            build, env={**env, "DOCKER_BUILDKIT": buildkit}, capture_output=True, text=True, check=False
        )
        if "buildx component is missing" not in answer.stderr:
            break
    if left_empty(answer):
        return set()
    assert answer.returncode == 0, answer.stderr
    return files_of(docker_host, ids.read_text().strip())


def left_empty(answer: "subprocess.CompletedProcess[str]") -> bool:
    """Whether the classic builder found nothing to copy."""
    return "no source files were specified" in answer.stderr


def files_of(docker_host: str, image: str) -> set[str]:
    """The files in an image's only layer."""
    with closing(docker.APIClient(base_url=docker_host)) as client:
        if not client.inspect_image(image)["RootFS"].get("Layers"):
            return set()  # which the engine refuses to save
        saved = io.BytesIO(b"".join(client.get_image(image)))
        client.remove_image(image, force=True)
    with tarfile.open(fileobj=saved) as archive:
        (about,) = json.load(archive.extractfile("manifest.json"))
        with tarfile.open(fileobj=archive.extractfile(about["Layers"][0])) as layer:
            return {each.name for each in layer if not each.isdir()}
