"""Folders that live as long as the run that made them, even if that run is killed."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.core.errors import InvalidInput

TURN = 30.0
"""Seconds to wait for the writers before this one, each of which takes less than one if all is well."""

PREFIX = "flowise-"
NAMES = f"{PREFIX}{'?' * 8}"
"""What ``tempfile`` makes of the prefix."""

HELD = ".held"
GRACE = 60.0
"""Seconds in which an empty folder counts as one that is just being made."""


@contextmanager
def temp_dir(work_dir: Path) -> Iterator[Path]:
    """Make a new folder in ``work_dir``, which is removed on leaving; first remove what killed runs left there.

    Only this user can read it. The owner holds a lock on a file beside it, which the kernel releases when the owner is
    gone, however it went and in whichever container it ran; ``tempfile`` alone can't tell. Folders of other users, and
    links, are left untouched.

    Raises:
        InvalidInput: ``work_dir`` can't be created or written to.
    """
    try:
        work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if work_dir.stat().st_uid not in (os.geteuid(), 0):  # who could put another folder in the place of ours
            raise PermissionError(0, "it belongs to another user")
        _sweep(work_dir)
        folder, held = _made(work_dir)
    except OSError as error:
        raise InvalidInput(
            f"The work directory {work_dir} can't be used: {error.strerror}.",
            "Set WORK_DIR to a folder that only this user can write to.",
        ) from None
    try:
        _content(folder).mkdir(mode=0o700)
        yield _content(folder)
    finally:
        _remove(folder)
        os.close(held)


@contextmanager
def turn(work_dir: Path) -> Iterator[None]:
    """Wait for this process's turn at what fails if it is done at the same time, such as pushes to one branch.

    A courtesy between the processes of one user on one machine, which nothing depends on: after :data:`TURN` seconds it
    goes on anyway, and at once if the file system has no such locks or if other users can open the folder, because they
    could hold its lock. The folder itself is locked: the kernel releases it with the process, and nothing is left.
    """
    folder, until = os.open(work_dir, os.O_RDONLY), time.monotonic() + TURN
    try:
        with suppress(OSError):
            while _is_private(os.fstat(folder)) and not _locked(folder) and time.monotonic() < until:
                time.sleep(0.01)
        yield
    finally:
        os.close(folder)


def _made(work_dir: Path) -> tuple[Path, int]:
    """Return a new folder and the lock on it; try again if another run removed it before it was locked."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=work_dir))
        held = os.open(folder / HELD, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        if (folder / HELD).exists():
            return folder, held
        os.close(held)


def _content(folder: Path) -> Path:
    return folder / "content"


def _remove(folder: Path) -> None:
    # The lock's file last: what a killed run leaves meanwhile is still known to be abandoned.
    with suppress(RecursionError):  # deeper than any file system's own tools make it: it stays
        shutil.rmtree(_content(folder), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _locked(file: int) -> bool:
    """Whether the lock is ours now; raise any error but that another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(work_dir: Path) -> None:
    for folder in work_dir.glob(NAMES):
        with suppress(OSError):  # another run sweeps, too, or it isn't ours
            if _is_private(folder.lstat()):
                _take_away(folder)


def _is_private(status: os.stat_result) -> bool:
    """Whether it is a folder of this user's that other users can't open."""
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _take_away(folder: Path) -> None:
    try:
        held = os.open(folder / HELD, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:  # killed before there was a lock, or behind it: empty. Others are not ours.
        if time.time() - folder.stat().st_mtime > GRACE:
            folder.rmdir()
        return
    try:
        if _locked(held):
            _remove(folder)
    finally:
        os.close(held)
