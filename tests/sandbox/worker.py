"""A worker as the README starts one: in the project's folder, whose settings for Prefect it reads."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.sandbox.processes import running

PROJECT = Path(__file__).parents[2]


@contextmanager
def worker(env: Mapping[str, str], log: Path, *options: str) -> Iterator[None]:
    """Have a worker of the pool ``flowise`` take runs until the block ends.

    Args:
        env: its environment, in which Prefect's API is named.
        log: the file for its output.
        options: of ``prefect worker start``.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--pool", "flowise", *options]
    with running(command, log=log, ready=lambda: "started!" in log.read_text(), env=env, folder=PROJECT):
        yield
