"""Folders of killed runs are taken away by the next run; those of living runs, and of other people, are not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tasks.core.scratch import GRACE, scratch

HOLD = """
import pathlib, sys
from tasks.core.scratch import scratch
with scratch(pathlib.Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    input()
"""


def holder(work_dir: Path) -> tuple["subprocess.Popen[str]", Path]:
    command = [sys.executable, "-c", HOLD, str(work_dir)]
    pipe = subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2])
    return child, Path(child.stdout.readline().strip())


def age(folder: Path) -> None:
    long_ago = folder.stat().st_mtime - 2 * GRACE
    os.utime(folder, (long_ago, long_ago))


def test_it_is_gone_on_leaving(tmp_path: Path) -> None:
    with scratch(tmp_path / "new") as folder:
        (folder / "deep" / "er").mkdir(parents=True)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_killed_run_s_folder_goes_and_a_living_one_s_stays(tmp_path: Path) -> None:
    (killed, left), (living, kept) = holder(tmp_path), holder(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    age(left)
    age(kept)
    (tmp_path / "flowise-of-somebody-else").mkdir()
    age(tmp_path / "flowise-of-somebody-else")
    with scratch(tmp_path):
        assert not left.exists()
        assert kept.exists()
        assert (tmp_path / "flowise-of-somebody-else").exists()
    living.communicate("\n")
    assert not kept.exists()


def test_a_folder_that_is_just_being_made_stays(tmp_path: Path) -> None:
    killed, left = holder(tmp_path)
    killed.kill()
    killed.wait()
    with scratch(tmp_path):
        assert left.exists()
