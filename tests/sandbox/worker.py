"""Workers as the README starts them: in the project's folder, whose settings for Prefect they read."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.sandbox.processes import running

PROJECT = Path(__file__).parents[2]
POOLS = ("flowise-build", "flowise-gitops")


@contextmanager
def workers(env: Mapping[str, str], folder: Path, *options: str) -> Iterator[None]:
    """Have a worker of each pool of prefect.yaml take runs until the block ends; both start at once.

    Args:
        env: their environment, in which Prefect's API is named.
        folder: for their output.
        options: of ``prefect worker start``.
    """
    with ExitStack() as started, ThreadPoolExecutor(len(POOLS)) as starting:
        each = [worker(env, folder / f"{pool}.log", pool, *options) for pool in POOLS]
        for done in [starting.submit(started.enter_context, one) for one in each]:
            done.result()
        yield


@contextmanager
def worker(env: Mapping[str, str], log: Path, pool: str, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Have a worker of one pool take runs until the block ends; yield its process."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", pool, *options]
    with running(command, log=log, ready=lambda: "started!" in log.read_text(), env=env, folder=PROJECT) as process:
        yield process
