"""What an update has read stays on the machine, and spares the next one its fetches; it is never wrong, nor needed."""

import hashlib
import os
import re
import stat
import subprocess
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from tasks.core import git
from tasks.core.git import object_cache
from tasks.core.git.object_cache import LARGEST, ObjectCache
from tasks.core.git.objects import Object
from tasks.core.gitops.repository import GitOps
from tasks.core.gitops.writer import write
from tasks.core.models import ImageUpdate
from tests.sandbox import repositories
from tests.sandbox.github import GitHub
from tests.sandbox.gitops_files import APP, REGISTRY

OVERLAYS = f"{APP}/overlays"
DEV, PRODUCTION = (f"{OVERLAYS}/{name}/kustomization.yaml" for name in ("dev", "production"))
BLOB = Object("blob", b"resources: []\n")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/flowise-delivery/objects"


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
    files = [*cache.glob("*/*")]
    assert {hashlib.sha1(zlib.decompress(file.read_bytes())).hexdigest() for file in files} == {f.name for f in files}
    every = repositories.git(gitops, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").decode().split()
    assert {file.name for file in files} <= set(every)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in cache.iterdir()} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


BREAK: tuple[Callable[[bytes], bytes], ...] = (
    lambda _: b"",
    lambda _: b"nonsense",
    lambda _: zlib.compress(b"tree 0\0"),
    lambda whole: whole[: len(whole) // 2],
    lambda whole: whole + b"garbage",
    lambda whole: whole * 2,
)


def test_a_broken_file_is_no_object(cache: Path, update: Callable[..., int], gitops: Path) -> None:
    update("v1")
    files = [*cache.glob("*/*")]
    assert len(files) >= len(BREAK)
    for number, file in enumerate(files):
        file.write_bytes(BREAK[number % len(BREAK)](file.read_bytes()))
    for tag in ("v2", "v3"):
        asked = update(tag)
        assert re.findall(r"newTag: (\S+)", repositories.show(gitops, "main", DEV)) == [tag, tag]
    repositories.git(gitops, "fsck", "--strict")
    assert asked <= 5, "what was broken is replaced"


@pytest.mark.parametrize("place", ["a file is in the way", "no home"])
def test_nothing_is_kept_where_nothing_can_be(
    place: str, update: Callable[..., int], gitops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if place == "a file is in the way":
        (tmp_path / "cache").write_text("")
    else:
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/proc")
    assert update("v1") == update("v2") > 5
    assert re.findall(r"newTag: (\S+)", repositories.show(gitops, "main", DEV)) == ["v2", "v2"]


def test_a_repository_on_this_machine_needs_none(cache: Path, gitops: Path, tmp_path: Path) -> None:
    place = GitOps(git.Remote(str(gitops)), "main", OVERLAYS, tmp_path / "work")
    assert write(place, ImageUpdate(environment="dev", tag="v1"), REGISTRY, lambda _: None).changed
    assert not cache.exists()


def test_the_last_used_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(object_cache, "MOST", 3)
    objects = [Object("blob", f"{number}\n".encode()) for number in range(6)]
    names, stays = [name_of(each) for each in objects], ObjectCache("https://git.example.com/a/b.git")
    for number, (name, each) in enumerate(zip(names, objects, strict=True)):
        stays.add(name, each)
        folder = next(cache.iterdir())
        os.utime(folder / name, (number, number))
        if number == 1:
            (folder / "in the way").mkdir()
            os.utime(folder / "in the way", (0, 0))
        if number == 3:
            assert stays.copy(names[1], tmp_path)  # and is used by that
    assert {file.name for file in folder.iterdir()} == {"in the way", names[1], names[4], names[5]}


def test_what_is_large_does_not_stay(cache: Path) -> None:
    large = Object("blob", bytes(LARGEST + 1))
    ObjectCache("https://git.example.com/a/b.git").add(name_of(large), large)
    assert not cache.exists()


def test_a_repository_has_no_part_in_anothers(cache: Path, tmp_path: Path) -> None:
    ObjectCache("https://git.example.com/a/b.git").add(name_of(BLOB), BLOB)
    assert not ObjectCache("https://git.example.com/a/c.git").copy(name_of(BLOB), tmp_path)
    assert not [*tmp_path.glob("??")]


def test_one_that_can_only_be_read_is_used(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stays = ObjectCache("https://git.example.com/a/b.git")
    stays.add(name_of(BLOB), BLOB)
    monkeypatch.setattr(os, "utime", Mock(side_effect=PermissionError))  # root may do anything
    assert stays.copy(name_of(BLOB), tmp_path)


def test_a_folder_in_the_way_leaves_nothing_beside_it(cache: Path) -> None:
    stays = ObjectCache("https://git.example.com/a/b.git")
    stays.add(name_of(BLOB), BLOB)
    (folder,) = cache.iterdir()
    (folder / name_of(BLOB)).unlink()
    (folder / name_of(BLOB) / "file").mkdir(parents=True)
    stays.add(name_of(BLOB), BLOB)
    assert [each.name for each in folder.iterdir()] == [name_of(BLOB)]


def test_a_relative_folder_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    ObjectCache("https://git.example.com/a/b.git").add(name_of(BLOB), BLOB)
    assert [each.name for each in tmp_path.iterdir()] == ["home"]


def test_many_use_the_same_at_once(cache: Path, tmp_path: Path) -> None:
    name, answers, stays = name_of(BLOB), list[bool](), ObjectCache("https://git.example.com/a/b.git")

    def used(number: int) -> None:
        for _ in range(50):
            stays.add(name, BLOB)
            (tmp_path / str(number)).mkdir(exist_ok=True)
            answers.append(stays.copy(name, tmp_path / str(number)))

    threads = [threading.Thread(target=used, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 200
    assert [file.name for file in cache.glob("*/*")] == [name]
