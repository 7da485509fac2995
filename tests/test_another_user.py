"""What another user of this machine can do to a delivery: nothing. Really as another user, so it needs root."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.errors import InvalidInput
from tasks.core.git.object_cache import ObjectCache
from tasks.core.git.objects import Object
from tasks.core.settings import load
from tasks.core.system.temp_dir import temp_dir, turn

NOBODY = 65534
RESULT = """
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH
folder = PREFECT_LOCAL_STORAGE_PATH.value()
ResultStore(result_storage=LocalFileSystem(basepath=folder)).write({"digest": "sha256:1"}, key="build-server-1")
print(folder)
"""


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody can open, with this user's caches in it; the umask is the usual one."""
    if os.geteuid():
        pytest.skip("only root can act as another user")
    folder = Path(tempfile.mkdtemp(prefix="shared-", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "cache").mkdir(mode=0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    before = os.umask(0o022)
    yield folder
    os.umask(before)
    shutil.rmtree(folder)


def as_nobody(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script, "sh", *map(str, arguments)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def can(script: str, *arguments: object) -> bool:
    return as_nobody(script, *arguments).returncode == 0


def test_another_user_can_neither_read_nor_plant_nor_hold_a_lock(shared: Path) -> None:
    ObjectCache("https://git.example/devops").add("1" * 40, Object("blob", b"secret"))
    work = load().work_dir
    with temp_dir(work) as folder:
        (folder / "source").write_text("secret")
        kept = [each for each in (shared / "cache").rglob("*") if each.is_file()]
        assert {each.name for each in kept} >= {"source", "1" * 40, ".held"}
        for file in kept:
            assert not can('cat "$1"', file), file
            assert not can('echo evil > "$1"', file), file
            assert not can('mv "$1" "$1.gone"', file), file
        for place in (work, folder, folder.parent, kept[0].parent):
            assert not can('ls "$1"', place), place
            assert not can('mkdir "$1/flowise-aaaaaaaa"', place), place
            assert not can('ln -s /etc "$1/evil"', place), place
            assert not can('flock -n "$1" true', place), place
        assert not can('mv "$1" "$1.gone"', work)
        with turn(work):
            pass
    assert can('test -r "$1"', shared), "the folder around them is open"


def test_a_work_directory_of_another_user_is_not_used(shared: Path) -> None:
    theirs, link = shared / "theirs", shared / "link"
    theirs.mkdir()
    os.chown(theirs, NOBODY, NOBODY)
    theirs.chmod(0o777)
    link.symlink_to(theirs)
    for place in (theirs, link):
        with pytest.raises(InvalidInput, match="belongs to another user"), temp_dir(place):
            pass
    assert list(theirs.iterdir()) == []


def test_a_lock_that_another_user_holds_stops_nothing(shared: Path) -> None:
    open_to_all = shared / "work"
    open_to_all.mkdir()
    holder = ["flock", str(open_to_all), "sh", "-c", "echo held; sleep 60"]
    with subprocess.Popen(holder, user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.PIPE) as theirs:
        assert theirs.stdout.readline() == b"held\n"
        ours = os.open(open_to_all, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with turn(open_to_all), temp_dir(open_to_all):
            pass
        os.close(ours)
        theirs.kill()


def test_results_are_private_and_text(shared: Path) -> None:
    env = {**os.environ, "PREFECT_HOME": str(shared / "prefect")}
    made = subprocess.run(
        [sys.executable, "-c", RESULT], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    (result,) = Path(made.stdout.strip()).iterdir()
    assert not can('cat "$1"', result)
    assert not can('ls "$1"', result.parent)
    assert not can('touch "$1/build-server-2"', result.parent)
