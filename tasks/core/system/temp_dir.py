"""Folders that live as long as the run that made them, even when that run is killed."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TURN = 30.0
"""Seconds to wait for the writers before this one, which are done in less than one each where all is well."""

PREFIX = "flowise-"
NAMES = f"{PREFIX}{'?' * 8}"
"""What ``tempfile`` makes of the prefix."""

HELD = ".held"
GRACE = 60.0
"""Seconds in which an empty folder counts as one that is just being made."""


@contextmanager
def scratch(work_dir: Path) -> Iterator[Path]:
    """A new folder in ``work_dir``, gone on leaving. What killed runs left there is taken away on entering.

    The owner holds a lock on a file beside it, which the kernel lets go when the owner is gone, however it went and
    in whichever container it ran; ``tempfile`` alone cannot tell.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    _sweep(work_dir)
    folder, held = _made(work_dir)
    try:
        _content(folder).mkdir()
        yield _content(folder)
    finally:
        _remove(folder)
        os.close(held)


@contextmanager
def turn(work_dir: Path) -> Iterator[None]:
    """One after the other, for what is lost when done at the same time, such as pushes to one branch.

    A courtesy between the processes of one machine, which nothing depends on: after :data:`TURN` seconds one goes on
    unasked, and at once on a file system that knows no such locks. The folder itself is what is locked: the kernel
    lets go of it with the process, and nothing is left.
    """
    folder, until = os.open(work_dir, os.O_RDONLY), time.monotonic() + TURN
    try:
        with suppress(OSError):
            while not _locked(folder) and time.monotonic() < until:
                time.sleep(0.01)
        yield
    finally:
        os.close(folder)


def _made(work_dir: Path) -> tuple[Path, int]:
    """A new folder and the lock on it; another one where somebody swept before there was a lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=work_dir))
        held = os.open(folder / HELD, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        if (folder / HELD).exists():
            return folder, held
        os.close(held)


def _content(folder: Path) -> Path:
    return folder / "content"


def _remove(folder: Path) -> None:
    # The lock's file last: what is left by one who is killed meanwhile is still known to be nobody's.
    shutil.rmtree(_content(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def _locked(file: int) -> bool:
    """Whether the lock is ours now; others' errors than that somebody has it are raised."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(work_dir: Path) -> None:
    for folder in work_dir.glob(NAMES):
        with suppress(OSError):  # another run sweeps, too, or it is somebody else's folder
            _take_away(folder)


def _take_away(folder: Path) -> None:
    try:
        held = os.open(folder / HELD, os.O_RDWR)
    except FileNotFoundError:  # killed before there was a lock, or behind it: empty. Others are not ours.
        if time.time() - folder.stat().st_mtime > GRACE:
            folder.rmdir()
        return
    try:
        if _locked(held):
            _remove(folder)
    finally:
        os.close(held)
