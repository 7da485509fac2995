"""Print the page docs/faults.md: each thing a run depends on with each fault, and each recording of Argo CD.

A further row is a function that takes a ``Proxy`` and returns what came of it; list it in ``ROWS``.
"""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

from tasks.core.errors import DeliveryError, RolloutFailed
from tasks.runtime import server
from tests.faults import delivery, recordings, rollout
from tests.faults.proxy import FAULTS, Proxy

ROWS: dict[str, Callable[[Proxy], str]] = {**rollout.ROWS, **delivery.ROWS}

TIMES = {"once": 1, "always": 1e9}

AT_ONCE = 8
"""Cells made at the same time; most of them wait."""

HEAD = """# Faults

How each step ends if a service that it depends on fails once or always. Only a step that ends as `RolloutFailed` can
trigger a rollback. A single failure doesn't fail any step, except for final rejections: a 403, or a server that isn't
what it should be. With `lost`, the request is carried out, but its answer never arrives.

`.venv/bin/python -m tests.faults` generates this page behind a faulty proxy, with timeouts of seconds instead of
minutes and with the tasks' retries but not their pauses. Git and the registry are real; Argo CD, GitHub, Prefect's
server and the endpoint are faked.

| what | fault | | ends as | undone | left behind | seconds | message |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


class Cell(NamedTuple):
    """How a step ends: the kind, whether that may undo anything, what it left behind, how long it took, the words."""

    kind: str
    undone: str
    left: str
    seconds: float
    words: str


def cell(what: str, fault: str, often: str) -> Cell:
    """Do a step with a fault."""
    proxy, undone = Proxy(fault, TIMES[often]), "no"
    try:
        kind, _, words = ROWS[what](proxy).partition(": ")
    except DeliveryError as error:
        kind, words = type(error).__name__, error.message
        undone = "may be" if isinstance(error, RolloutFailed) else "no"
    except Exception as error:  # none of ours: the table shows it
        kind, words = type(error).__name__, str(error)
    return Cell(kind, undone, proxy.left, proxy.seconds, words)


def short_limits() -> Any:
    """Give Prefect's server seconds instead of minutes."""
    return patch.multiple(server, PATIENCE=0.4, LONGEST_CALL=2.5)


def table() -> Iterator[str]:
    """Make the table's lines."""
    cells = list(product(ROWS, FAULTS, TIMES))
    with short_limits(), ThreadPoolExecutor(AT_ONCE) as pool:
        for (what, fault, often), made in zip(cells, pool.map(lambda each: cell(*each), cells), strict=True):
            said = re.sub(r"127\.0\.0\.1:\d+", "HOST", " ".join(made.words.split())).replace("|", "\\|")
            yield (
                f"| {what} | {fault} | {often} | {made.kind} | {made.undone} | {made.left} | {made.seconds:.1f} "
                f"| {said[:200]} |"
            )


if __name__ == "__main__":
    with TemporaryDirectory() as home, patch.dict(os.environ, HOME=home, XDG_CACHE_HOME=home):
        print(HEAD + "\n".join(table()))
    print(recordings.HEAD + "\n".join(recordings.table()))
