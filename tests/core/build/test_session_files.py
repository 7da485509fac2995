"""A Dockerfile that isn't in its context: a build reads both over its session, from a real engine's side."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from tasks.core import git
from tasks.core.build.builder import Order
from tasks.core.build.context import checkout
from tasks.core.build.engine_builder import EngineBuilder
from tasks.core.build.session_files import Folder, Transfer
from tasks.core.errors import InvalidInput, NotFound
from tasks.core.images import ImageSpec
from tasks.core.registry.oci import Registry
from tests.sandbox import registry as sandbox
from tests.sandbox import repositories

EVERYTHING = "FROM scratch\nCOPY . /src/\n"
LARGE = os.urandom(3_000_000)
TREE = {
    "a-b": b"before a/ in git, after it here",
    "a/x": b"x",
    "a.b": b"",
    "a/y/deep": LARGE,
    "run.sh": b"#!/bin/sh\n",
    "ü/日本": b"far",
    "exactly": b"x" * (1 << 15),
    "with space": b"s",
}


def image_of(bare: Path, image: ImageSpec, images: sandbox.Registry, work: Path) -> dict[str, tuple]:
    """The image's files below /src, with what they are, as the registry has them."""
    registry = Registry(images.host, timeout=10)
    nothing = dict.fromkeys(Order.__dataclass_fields__)
    with checkout(git.Remote(str(bare)), str(repositories.head(bare)), work) as source:
        order = Order(
            **nothing
            | {
                "image": image,
                "recipe": source.recipe(image),
                "context": lambda **how: source.context(image, **how),
                "arguments": {},
                "registry": registry,
                "tag": "one",
                "timeout": 60,
                "again": True,
                "cache_size": 0,
                "logins": (),
                "log": lambda _: None,
                "report": lambda *_: None,
            }
        )
        digest = EngineBuilder().build_and_push(order)
    registry.close()
    found = {}
    for layer in images.manifest(image.name, digest)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(images.blob(image.name, layer["digest"]))) as archive:
            for each in archive:
                if not each.isdir():
                    content = each.linkname if each.issym() else archive.extractfile(each).read()
                    found[each.name.removeprefix("src/")] = (each.mode & 0o777, content)
    return found


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return repositories.init(tmp_path / "bare.git")


@pytest.mark.usefixtures("docker_host")
def test_an_ignored_dockerfile_stays_out_of_the_image(bare: Path, images: sandbox.Registry, tmp_path: Path) -> None:
    ignored = ".dockerignore\n**/Dockerfile*\nnotes\n"
    text = f"{EVERYTHING}COPY logs /src/logs\n"
    files = {**TREE, "Dockerfile": text, ".dockerignore": f"{ignored}logs/*\n", "notes": "n", "logs/one": "o"}
    repositories.commit(bare, "main", files, "feat: all kinds")
    found = image_of(bare, ImageSpec(name="apart/ignored", dockerfile="Dockerfile"), images, tmp_path)
    assert found == {path: (0o755 if path == "run.sh" else 0o644, content) for path, content in TREE.items()}


PLACES = {
    "above": ("apps/one", "../../Dockerfile", "Dockerfile"),
    "beside": ("apps/one", "../docker/one.Dockerfile", "apps/docker/one.Dockerfile"),
    "below, said from above": ("apps/one", "../one/Dockerfile", "apps/one/Dockerfile"),
}


@pytest.mark.usefixtures("docker_host")
@pytest.mark.parametrize("place", PLACES)
def test_a_dockerfile_anywhere_in_the_repository(
    place: str, bare: Path, images: sandbox.Registry, tmp_path: Path
) -> None:
    context, dockerfile, path = PLACES[place]
    files = {"apps/one/file": "one", "apps/two/file": "two", f"{path}.dockerignore": "skipped\n", path: EVERYTHING}
    repositories.commit(bare, "main", {**files, "apps/one/skipped": "s"}, "feat: apps")
    image = ImageSpec(name=f"apart/{place[:5]}", context=context, dockerfile=dockerfile)
    found = image_of(bare, image, images, tmp_path)
    own = {"Dockerfile", "Dockerfile.dockerignore"} if place.startswith("below") else set()
    assert set(found) - own == {"file"}
    assert found["file"][1] == b"one"


def test_links_and_a_link_to_a_dockerfile_outside(bare: Path, tmp_path: Path) -> None:
    """The links' own entries; how an engine takes them is the same as with files."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, target in (("a/link", "../b"), ("b", "")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = (tarfile.SYMTYPE, target) if target else (tarfile.REGTYPE, "")
            archive.addfile(entry)
    path = tmp_path / "context.tar"
    path.write_bytes(tar.getvalue())
    with path.open("rb") as file:
        assert [name for name, _ in Folder(file).entries()] == [b"a", b"a/link", b"b"]
        assert [name for name, _ in Folder(file).entries([b"b", b"missing"])] == [b"b"]
        listing = list(Transfer(Folder(file), [b"a/link"]).messages())
    directory, link, end = listing
    assert b"\x0a\x01a" in directory
    assert b"\x3a\x04../b" in link
    assert end == b"\x08\x00"


def test_what_a_build_gets_apart_is_known_and_counted(bare: Path, tmp_path: Path) -> None:
    image = ImageSpec(name="app", context="app", dockerfile="../Dockerfile")
    names = []
    for text in ("FROM scratch\n", "FROM scratch\nCOPY . /\n"):
        repositories.commit(bare, "main", {"Dockerfile": text, "app/file": "f", "other": text}, "feat: one")
        with checkout(git.Remote(str(bare)), str(repositories.head(bare)), tmp_path) as source:
            recipe = source.recipe(image)
            assert (recipe.path, recipe.apart) == ("Dockerfile", text.encode())
            names.append(source.inputs(image, {}))
    assert names[0] != names[1]


@pytest.mark.parametrize("dockerfile", ["../../Dockerfile", "/etc/passwd", "../../../x", ""])
def test_no_dockerfile_is_outside_of_the_repository(dockerfile: str) -> None:
    with pytest.raises(ValueError, match=r"dockerfile|repository"):
        ImageSpec(name="app", context="app", dockerfile=dockerfile)


def test_a_missing_one_is_named_by_its_place_in_the_repository(bare: Path, tmp_path: Path) -> None:
    repositories.commit(bare, "main", {"app/file": "f"}, "feat: one")
    image = ImageSpec(name="app", context="app", dockerfile="../docker/Dockerfile")
    with (
        checkout(git.Remote(str(bare)), str(repositories.head(bare)), tmp_path) as source,
        pytest.raises(NotFound, match=r"has no docker/Dockerfile"),
    ):
        source.inputs(image, {})


MISSING = {
    "said from the root": ("app", "docker/Dockerfile", "set it to ../docker/Dockerfile"),
    "no such context": ("apps", "../docker/Dockerfile", "has no apps, which app has for its context"),
    "a link": ("link", "../docker/Dockerfile", "leads through link, a symbolic link"),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_cannot_be_the_context_or_the_dockerfile_is_named(case: str, bare: Path, tmp_path: Path) -> None:
    context, dockerfile, said = MISSING[case]
    blob = "M 120000 inline link\ndata 3\napp\nM 100644 inline app/file\ndata 0\n\n"
    blob += "M 100644 inline docker/Dockerfile\ndata 13\nFROM scratch\n\n"
    head = "commit refs/heads/main\ncommitter A <a@example.com> 1767225600 +0000\ndata 0\n"
    repositories.git(bare, "fast-import", "--quiet", stdin=(head + blob).encode())
    image = ImageSpec(name="app", context=context, dockerfile=dockerfile)
    with (
        checkout(git.Remote(str(bare)), str(repositories.head(bare)), tmp_path) as source,
        pytest.raises((InvalidInput, NotFound)) as failure,
    ):
        source.inputs(image, {})
    assert said in str(failure.value)
