"""Print the table: each thing a run depends on, with each fault, once and always.

A further row is a function that takes a ``Proxy`` and returns what came of it; list it in ``ROWS``.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

from tasks.core.errors import DeliveryError, RolloutFailed
from tests.faults import rollout
from tests.faults.proxy import FAULTS, Proxy, timed

ROWS: dict[str, Callable[[Proxy], str]] = {**rollout.ROWS}

HEAD = """# Faults

How each step ends if a service that it depends on fails once or always. Only a step that ends as `RolloutFailed` can
trigger a rollback. A single failure doesn't fail any step, except for final rejections: a 403, or a server that isn't
Argo CD.

`.venv/bin/python -m tests.faults` generates this table against fake services behind a faulty proxy, with timeouts of
seconds instead of minutes.

| what | fault | | ends as | undone | seconds | message |
| --- | --- | --- | --- | --- | --- | --- |
"""


def cell(act: Callable[[], str]) -> tuple[str, str, str]:
    """Tell how a step ends: the kind, whether that may undo anything, and the words."""
    try:
        kind, _, words = act().partition(": ")
    except DeliveryError as error:
        return type(error).__name__, "may be" if isinstance(error, RolloutFailed) else "no", error.message
    return kind, "no", words


def rows() -> Iterator[str]:
    """Make the table's lines."""
    for (what, act), fault, (often, times) in product(ROWS.items(), FAULTS, (("once", 1), ("always", 1e9))):
        (kind, undone, words), seconds = timed(partial(cell, partial(act, Proxy(fault, times))))
        said = re.sub(r"127\.0\.0\.1:\d+", "HOST", words).replace("|", "\\|")
        yield f"| {what} | {fault} | {often} | {kind} | {undone} | {seconds:.1f} | {said[:160]} |"


if __name__ == "__main__":
    print(HEAD + "\n".join(rows()))
