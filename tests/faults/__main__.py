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

What becomes of a step when something it depends on has a bad day, once or always. Made by
`.venv/bin/python -m tests.faults`, against stand-ins behind a proxy that misbehaves, with limits of seconds instead
of minutes. Only a step that ends as `RolloutFailed` may undo a deployment. A fault that occurs once costs no step its
success, unless it is a final rejection: a 403, or a server that isn't Argo CD.

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
