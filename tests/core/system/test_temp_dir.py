"""Folders of killed runs are taken away by the next run; those of living runs, and of other people, are not."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tasks.core.errors import InvalidInput
from tasks.core.system.temp_dir import GRACE, temp_dir, turn

HOLD = """
import pathlib, sys
from tasks.core.errors import InvalidInput
from tasks.core.system.temp_dir import temp_dir
with temp_dir(pathlib.Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    input()
"""


def holder(work_dir: Path) -> tuple["subprocess.Popen[str]", Path]:
    command = [sys.executable, "-c", HOLD, str(work_dir)]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[3])
    return child, Path(child.stdout.readline().strip()).parent


def age(folder: Path) -> None:
    long_ago = folder.stat().st_mtime - 2 * GRACE
    os.utime(folder, (long_ago, long_ago))


def test_it_is_gone_on_leaving(tmp_path: Path) -> None:
    with temp_dir(tmp_path / "new") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_killed_run_s_folder_goes_and_a_living_one_s_stays(tmp_path: Path) -> None:
    (killed, left), (living, kept) = holder(tmp_path), holder(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (tmp_path / "flowise-of-somebody-else").mkdir()
    age(tmp_path / "flowise-of-somebody-else")
    with temp_dir(tmp_path):
        assert not left.exists()
        assert kept.exists()
        assert (tmp_path / "flowise-of-somebody-else").exists()
    living.communicate("\n")
    assert not kept.exists()


def test_an_empty_folder_that_is_just_being_made_stays(tmp_path: Path) -> None:
    made = Path(tempfile.mkdtemp(prefix="flowise-", dir=tmp_path))
    with temp_dir(tmp_path):
        assert made.exists()
    age(made)
    with temp_dir(tmp_path):
        assert not made.exists()


def test_a_sweep_that_is_faster_than_the_lock_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flock, swept = fcntl.flock, []

    def late(file: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not swept:
            swept.extend(tmp_path.iterdir())
            with temp_dir(tmp_path):
                assert not swept[0].exists()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with temp_dir(tmp_path) as folder:
        assert folder.exists()
        assert folder.parent not in swept
        with temp_dir(tmp_path):
            assert folder.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kills", range(2, 8))
def test_killed_while_it_is_made_or_taken_away_nothing_stays(kills: int, tmp_path: Path) -> None:
    """Killed at each call that makes or removes something, whichever comes first of files and folders."""
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(kills)]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], check=False).returncode
    (left,) = tmp_path.iterdir()
    assert died == -signal.SIGKILL
    if kills in EMPTY:
        age(left)
    with temp_dir(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


EMPTY = (2, 7)
"""Before the lock's file is made, and behind it."""

KILLED = """
import os, pathlib, sys
from tasks.core.errors import InvalidInput
from tasks.core.system.temp_dir import temp_dir

calls = iter(range(int(sys.argv[2])))

def killing(event, arguments):
    if event in ("os.mkdir", "os.remove", "os.rmdir") or event == "open" and str(arguments[0]).endswith(".held"):
        if next(calls, None) is None:
            os.kill(os.getpid(), 9)

sys.addaudithook(killing)
with temp_dir(pathlib.Path(sys.argv[1])) as folder:
    (folder / "a").write_text("b")
"""


@pytest.mark.parametrize("content", [{}, {"a": "b"}])
def test_what_is_called_alike_and_holds_something_is_somebody_else_s(content: dict[str, str], tmp_path: Path) -> None:
    other = Path(tempfile.mkdtemp(prefix="flowise-", dir=tmp_path))
    for name, text in content.items():
        (other / name).write_text(text)
    age(other)
    with temp_dir(tmp_path):
        assert other.exists() is bool(content)


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    with temp_dir(tmp_path / "new") as folder:
        for each in (folder, folder.parent, tmp_path / "new"):
            assert each.stat().st_mode & 0o777 == 0o700, each


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o705])
def test_a_folder_that_others_can_open_is_left_untouched(mode: int, tmp_path: Path) -> None:
    theirs = tmp_path / "flowise-aaaaaaaa"
    theirs.mkdir()
    (theirs / ".held").touch()
    theirs.chmod(mode)
    with temp_dir(tmp_path):
        assert (theirs / ".held").exists()


def test_a_folder_of_another_user_is_left_untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Path(tempfile.mkdtemp(prefix="flowise-", dir=tmp_path))
    (theirs / ".held").touch()
    monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
    with temp_dir(tmp_path):
        assert (theirs / ".held").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / ".held").touch()
    (elsewhere / "content").mkdir()
    (tmp_path / "flowise-aaaaaaaa").symlink_to(elsewhere)
    held = Path(tempfile.mkdtemp(prefix="flowise-", dir=tmp_path))
    (tmp_path / "precious").touch()
    (held / ".held").symlink_to(tmp_path / "precious")
    with temp_dir(tmp_path):
        assert (elsewhere / "content").exists()
    assert (tmp_path / "precious").exists()


def test_a_folder_too_deep_to_remove_ends_no_run(tmp_path: Path) -> None:
    left = Path(tempfile.mkdtemp(prefix="flowise-", dir=tmp_path))
    (left / ".held").touch()
    here, depth = Path.cwd(), 1100
    os.chdir(left)
    try:
        for name in ("content", *["d"] * depth):
            Path(name).mkdir()
            os.chdir(name)
    finally:
        os.chdir(here)
    with temp_dir(tmp_path) as folder:
        assert folder.is_dir()
    subprocess.run(["rm", "-rf", str(left)], check=True)


def test_a_work_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InvalidInput, match="file/work can't be used: Not a directory") as failure,
        temp_dir(tmp_path / "file" / "work"),
    ):
        pass
    assert "WORK_DIR" in failure.value.hint


def test_a_lock_that_other_users_could_hold_is_not_waited_for(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    theirs = os.open(shared, os.O_RDONLY)
    fcntl.flock(theirs, fcntl.LOCK_EX)
    started = time.monotonic()
    with turn(shared):
        assert time.monotonic() - started < 5
    os.close(theirs)


def test_a_turn_comes_at_once_where_nothing_can_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(9, "Bad file descriptor")  # NFS's answer for a folder

    monkeypatch.setattr(fcntl, "flock", refused)
    started = time.monotonic()
    with turn(tmp_path):
        assert time.monotonic() - started < 5
