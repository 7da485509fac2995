"""Folders that live as long as the run that made them, even when that run is killed."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "flowise-"
HELD = ".held"
GRACE = 60.0
"""Seconds in which a folder without an owner counts as one that is just being made."""


@contextmanager
def scratch(work_dir: Path) -> Iterator[Path]:
    """A new folder in ``work_dir``, gone on leaving. What killed runs left there is taken away on entering.

    The owner holds a lock on a file in it, which the kernel lets go when the owner is gone, however it went and
    in whichever container it ran; ``tempfile`` alone cannot tell.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    _sweep(work_dir)
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=work_dir, ignore_cleanup_errors=True) as folder,
        Path(folder, HELD).open("w") as held,
    ):
        fcntl.flock(held, fcntl.LOCK_EX)
        yield Path(folder)


def _sweep(work_dir: Path) -> None:
    for folder in work_dir.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another run sweeps, too, or it is somebody else's folder
            if time.time() - folder.stat().st_mtime > GRACE and _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    held = os.open(folder / HELD, os.O_RDWR)  # a folder without it is not one of ours
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(held)
    return True
