"""Submodules: fetched if the setting says so, each with its own host's token alone; else named."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.build import submodules
from tasks.core.build.context import Policy, Source
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.images import ImageSpec
from tests.sandbox import repositories
from tests.sandbox.github import GitHub, github

APP = ImageSpec(name="app", dockerfile="Dockerfile")
TOKEN = SecretStr("t-o-k-e-n")
ONE = git.Remote("https://git.example.com/acme/app.git", TOKEN, 600, "bot")

ADDRESSES = {
    "https://git.example.com/acme/lib.git": ("https://git.example.com/acme/lib.git", True),
    "../lib.git": ("https://git.example.com/acme/lib.git", True),
    "./nested": ("https://git.example.com/acme/app.git/nested", True),
    "../../other/lib": ("https://git.example.com/other/lib", True),
    "git@git.example.com:acme/lib.git": ("https://git.example.com/acme/lib.git", True),
    "ssh://git@git.example.com:2222/acme/lib.git": ("https://git.example.com/acme/lib.git", True),
    "https://elsewhere.example/acme/lib.git": ("https://elsewhere.example/acme/lib.git", False),
    "http://git.example.com/acme/lib.git": ("http://git.example.com/acme/lib.git", False),
    "https://git.example.com:8443/acme/lib.git": ("https://git.example.com:8443/acme/lib.git", False),
    "https://git.example.com.evil.example/lib": ("https://git.example.com.evil.example/lib", False),
    "git@elsewhere.example:acme/lib.git": ("git@elsewhere.example:acme/lib.git", False),
}


@pytest.mark.parametrize(("given", "wanted"), ADDRESSES.items())
def test_the_token_goes_to_the_source_s_own_host_alone(given: str, wanted: tuple[str, bool]) -> None:
    found = submodules.remote(given, ONE)
    assert (found.url, found.token == TOKEN) == wanted


PARENTS = {
    ("../lib.git", "/srv/git/app.git"): "/srv/git/lib.git",
    ("/srv/git/lib.git", "/srv/git/app.git"): "/srv/git/lib.git",
    ("../lib.git", "file:///srv/git/app.git"): "file:///srv/git/lib.git",
    ("../lib.git", "git@git.example.com:acme/app.git"): "git@git.example.com:acme/lib.git",
    ("../lib.git", "ssh://git.example.com/acme/app"): "ssh://git.example.com/acme/lib.git",
}


@pytest.mark.parametrize(("given", "wanted"), PARENTS.items())
def test_a_relative_address_begins_at_the_source(given: tuple[str, str], wanted: str) -> None:
    url, parent = given
    assert submodules.remote(url, git.Remote(parent)).url == wanted


@pytest.mark.parametrize(
    "url",
    [
        "/srv/git/private.git",
        "file:///srv/git/private.git",
        "ext::sh -c whoami",
        "-uploadpack=evil",
        "https://[::1/x",
        "https://user:hunter2@elsewhere.example/lib",
        "",
    ],
)
def test_what_no_submodule_of_a_repository_elsewhere_may_name(url: str) -> None:
    with pytest.raises(InvalidInput) as failure:
        submodules.remote(url, ONE)
    assert "hunter2" not in str(failure.value)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A repository with a submodule of its own, ``deep``."""
    deep = repositories.init(tmp_path / "deep.git")
    repositories.commit(deep, "main", {"deep.txt": "deep"}, "feat: deep")
    bare = repositories.init(tmp_path / "lib.git")
    commit(bare, {"lib.txt": "lib", "notes.md": "notes", ".gitmodules": modules(deep="../deep.git")}, {"deep": deep})
    return bare


def modules(**urls: str) -> str:
    return "".join(f'[submodule "{name}"]\n\tpath = {name}\n\turl = {url}\n' for name, url in urls.items())


def commit(bare: Path, files: Mapping[str, str], links: Mapping[str, Path]) -> str:
    """A commit without a parent; ``links`` are its submodules, each at its repository's newest commit."""
    stream = "commit refs/heads/main\ncommitter A <a@example.com> 1767225600 +0000\ndata 0\n"
    stream += "".join(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items())
    stream += "".join(f"M 160000 {repositories.head(other)} {path}\n" for path, other in links.items())
    repositories.git(bare, "fast-import", "--quiet", "--force", stdin=stream.encode())
    return str(repositories.head(bare))


def application(tmp_path: Path, library: Path, url: str = "../lib.git", ignored: str = "") -> Path:
    bare = repositories.init(tmp_path / "app.git")
    files = {"Dockerfile": "FROM scratch\nCOPY . /\n", ".gitmodules": modules(lib=url), ".dockerignore": ignored}
    commit(bare, files, {"lib": library})
    return bare


def source(bare: Path, tmp_path: Path, policy: Policy, where: git.Remote | None = None) -> Source:
    sha = str(repositories.head(bare))
    return Source(where or git.Remote(str(bare)), sha, tmp_path / f"fetched-{policy.submodules}.git", policy)


def read(chunks: Iterator[bytes]) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        return {each.name: archive.extractfile(each).read().decode() for each in archive if each.isreg()}


FETCH, LEAVE = Policy(submodules="fetch"), Policy(submodules="leave")


def test_the_context_has_the_files_of_submodules(tmp_path: Path, library: Path) -> None:
    bare = application(tmp_path, library, ignored="**/*.md\n")
    context = read(source(bare, tmp_path, FETCH).context(APP))
    assert set(context) - {"Dockerfile", ".dockerignore", ".gitmodules", "lib/.gitmodules"} == {
        "lib/lib.txt",
        "lib/deep/deep.txt",
    }
    assert context["lib/deep/deep.txt"] == "deep"


def test_another_commit_of_a_submodule_makes_another_name_where_it_is_fetched(tmp_path: Path, library: Path) -> None:
    names = []
    for _ in range(2):
        bare = application(tmp_path / f"{len(names)}", library)
        names.append([source(bare, tmp_path / f"{len(names)}", each).inputs(APP, {}) for each in (FETCH, LEAVE)])
        repositories.commit(library, "main", {"new.txt": "new"}, "feat: more")
    (fetched, left), (later, left_later) = names
    assert len({fetched, later, left}) == 3
    assert left == left_later


@pytest.mark.parametrize("ignored", ["lib\n", "*\n!Dockerfile\n", "lib/**\n", "**/lib/*\n"])
def test_an_ignored_submodule_is_of_no_interest(tmp_path: Path, library: Path, ignored: str) -> None:
    bare = application(tmp_path, library, url="https://nobody.invalid/lib", ignored=ignored)
    for policy in (Policy(), FETCH):
        assert "Dockerfile" in read(source(bare, tmp_path, policy).context(APP))


@pytest.mark.parametrize("ignored", ["", "lib\n!lib/lib.txt\n", "*\n!**/*.txt\n", "lib/*.md\n"])
def test_one_that_the_context_may_need_is_named_before_anything_is_built(
    tmp_path: Path, library: Path, ignored: str
) -> None:
    bare = application(tmp_path, library, ignored=ignored)
    with pytest.raises(InvalidInput, match=r"lib of commit [0-9a-f]{7} is a submodule.*\n.*SOURCE_SUBMODULES"):
        source(bare, tmp_path, Policy()).context(APP)
    assert "lib/lib.txt" not in read(source(bare, tmp_path, LEAVE).context(APP))


def test_a_submodule_without_an_address_is_named(tmp_path: Path, library: Path) -> None:
    bare = application(tmp_path, library, url="")
    with pytest.raises(InvalidInput, match=r"lib is a submodule that \.gitmodules has no URL of"):
        source(bare, tmp_path, FETCH).context(APP)


def test_gitmodules_that_are_none_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"\.gitmodules can't be read: .*bad config line 1"):
        submodules.addresses(b"<<<<<<< HEAD\n")


def test_a_dockerfile_in_a_submodule_is_named_as_that(tmp_path: Path, library: Path) -> None:
    bare = application(tmp_path, library)
    image = ImageSpec(name="app", dockerfile="lib/Dockerfile")
    with pytest.raises(InvalidInput, match=r"lib/Dockerfile.* is in the submodule lib"):
        source(bare, tmp_path, FETCH).inputs(image, {})


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[GitHub]:
    """Another host, which answers 401 to any token but its own, and takes nobody's."""
    bare = repositories.init(tmp_path / "public.git")
    repositories.commit(bare, "main", {"public.txt": "public"}, "feat: public")
    with github({"acme/public": bare}, anonymous_read=True) as running:
        yield running


def test_a_private_submodule_gets_the_token_and_another_host_does_not(tmp_path: Path, elsewhere: GitHub) -> None:
    private = repositories.init(tmp_path / "private.git")
    repositories.commit(private, "main", {"private.txt": "private"}, "feat: private")
    bare = repositories.init(tmp_path / "app.git")
    with github({"acme/app": bare, "acme/private": private}, token=TOKEN.get_secret_value()) as hub:
        urls = modules(private="../private.git", public=elsewhere.clone_url("acme/public"))
        links = {"private": private, "public": elsewhere.repositories["acme/public"]}
        commit(bare, {"Dockerfile": "FROM scratch\n", ".gitmodules": urls}, links)
        where = git.Remote(hub.clone_url("acme/app"), TOKEN)
        context = read(source(bare, tmp_path, FETCH, where).context(APP))
    assert {context["private/private.txt"], context["public/public.txt"]} == {"private", "public"}


def test_a_submodule_that_is_gone_is_named(tmp_path: Path, library: Path) -> None:
    bare = application(tmp_path, library, url="../gone.git")
    with pytest.raises(NotFound, match=r"gone\.git"):
        source(bare, tmp_path, FETCH).context(APP)
