"""What an update has read stays on the machine, and spares the next one its fetches; it is never wrong, nor needed."""

import hashlib
import os
import re
import stat
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.core import git, kept
from tasks.core.gitops import GitOps, write
from tasks.core.models import ImageUpdate
from tasks.core.objects import Object
from tests.sandbox import repositories
from tests.sandbox.github import GitHub, github
from tests.sandbox.gitops_files import APP, REGISTRY

OVERLAYS = f"{APP}/overlays"
DEV, PRODUCTION = (f"{OVERLAYS}/{name}/kustomization.yaml" for name in ("dev", "production"))
BLOB = Object("blob", b"resources: []\n")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/flowise-delivery/objects"


@pytest.fixture
def hub(gitops: Path) -> Iterator[GitHub]:
    with github({"acme/devops": gitops}) as running:
        yield running


@pytest.fixture
def update(hub: GitHub, tmp_path: Path) -> Callable[..., int]:
    """Update an environment over HTTP, and tell how many times the server was asked."""

    def updated(tag: str, environment: str = "dev") -> int:
        before, where = len(hub.requests), git.Remote(hub.clone_url("acme/devops"), SecretStr(hub.token))
        place = GitOps(where, "main", OVERLAYS, tmp_path / "work")
        assert write(place, ImageUpdate(environment=environment, tag=tag), REGISTRY, lambda _: None).changed
        return len(hub.requests) - before

    return updated


def name_of(found: Object) -> str:
    told = subprocess.run(
        ["git", "hash-object", "-t", found.kind, "--stdin"], input=found.content, capture_output=True, check=True
    )
    return told.stdout.decode().strip()


def test_the_next_update_asks_only_for_the_head(cache: Path, update: Callable[..., int], gitops: Path) -> None:
    assert not cache.exists()
    first = update("v1")
    second = update("v2")
    third = update("v3")
    assert first > second >= third
    assert third <= 5, "the head, what it is, and the push"
    assert re.findall(r"newTag: (\S+)", repositories.show(gitops, "main", DEV)) == ["v3", "v3"]
    repositories.git(gitops, "fsck", "--strict")


def test_what_others_changed_meanwhile_is_read_anew(cache: Path, update: Callable[..., int], gitops: Path) -> None:
    update("v1")
    by_hand = repositories.show(gitops, "main", DEV).replace("newTag: v1", "newTag: by-hand  # for now")
    repositories.commit(gitops, "main", {DEV: by_hand, "other/file.yaml": "x: 1\n"}, "by hand")
    update("v2")
    assert repositories.show(gitops, "main", DEV) == by_hand.replace("by-hand", "v2")
    assert repositories.show(gitops, "main", "other/file.yaml") == "x: 1\n"
    update("v3", "production")
    assert repositories.show(gitops, "main", DEV) == by_hand.replace("by-hand", "v2")
    assert repositories.show(gitops, "main", PRODUCTION).count("v3") == 2


def test_each_file_is_the_object_it_is_named_after(cache: Path, update: Callable[..., int], gitops: Path) -> None:
    update("v1")
    files = [*cache.iterdir()]
    assert {hashlib.sha1(zlib.decompress(file.read_bytes())).hexdigest() for file in files} == {f.name for f in files}
    every = repositories.git(gitops, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split()
    assert {file.name for file in files} <= set(every)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.parametrize(
    "broken", [b"", b"nonsense", zlib.compress(b"tree 0\0"), zlib.compress(b"tree 4\0\0\0\0\0")[:9]]
)
def test_a_broken_file_is_no_object(
    broken: bytes, cache: Path, update: Callable[..., int], gitops: Path, tmp_path: Path
) -> None:
    update("v1")
    for file in cache.iterdir():
        file.write_bytes(broken)
    update("v2")
    assert re.findall(r"newTag: (\S+)", repositories.show(gitops, "main", DEV)) == ["v2", "v2"]
    repositories.git(gitops, "fsck", "--strict")
    assert update("v3") <= 5, "what was broken is replaced"


@pytest.mark.parametrize("place", ["a file is in the way", "no home", "another's folder"])
def test_nothing_is_kept_where_nothing_can_be(
    place: str, update: Callable[..., int], gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if place == "a file is in the way":
        (tmp_path / "cache").write_text("")
    elif place == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("Could not determine home")))
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    assert update("v1") == update("v2") > 5
    assert re.findall(r"newTag: (\S+)", repositories.show(gitops, "main", DEV)) == ["v2", "v2"]


def test_a_repository_on_this_machine_needs_none(cache: Path, gitops: Path, tmp_path: Path) -> None:
    place = GitOps(git.Remote(str(gitops)), "main", OVERLAYS, tmp_path / "work")
    assert write(place, ImageUpdate(environment="dev", tag="v1"), REGISTRY, lambda _: None).changed
    assert not cache.exists()


def test_the_last_used_ones_are_kept(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 3)
    objects = [Object("blob", f"{number}\n".encode()) for number in range(5)]
    names = [name_of(each) for each in objects]
    for number, (name, each) in enumerate(zip(names, objects, strict=True)):
        if number == 3:
            assert kept.lend(names[0], tmp_path)  # and is used by that
        kept.keep(name, each)
        os.utime(cache / name, (number, number))
    assert {file.name for file in cache.iterdir()} == {names[0], names[3], names[4]}


def test_what_is_large_is_not_kept(cache: Path) -> None:
    large = Object("blob", bytes(kept.LARGEST + 1))
    kept.keep(name_of(large), large)
    assert not cache.exists()


def test_many_keep_and_lend_the_same_at_once(cache: Path, tmp_path: Path) -> None:
    name, answers = name_of(BLOB), list[bool]()

    def used(number: int) -> None:
        for _ in range(50):
            kept.keep(name, BLOB)
            (tmp_path / str(number)).mkdir(exist_ok=True)
            answers.append(kept.lend(name, tmp_path / str(number)))

    threads = [threading.Thread(target=used, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 200
    assert [file.name for file in cache.iterdir()] == [name]
