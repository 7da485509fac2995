"""Builds and pushes that end at once when their run does: the threads they are in can't be interrupted from outside."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tasks.core.errors import Terminal

_interrupted = threading.Event()
_endings = set[Callable[[], None]]()


@contextmanager
def builds_end_with_it() -> Iterator[None]:
    """End all builds and pushes of this process if the block is left by what is no ``Exception``, such as a signal."""
    _interrupted.clear()
    try:
        yield
    except Exception:
        raise
    except BaseException:
        _interrupted.set()
        for end in list(_endings):
            with suppress(Exception):  # whatever it is, the others have to end, too
                end()
        raise


@contextmanager
def ended_by(end: Callable[[], None]) -> Iterator[None]:
    """Call this if the run ends within the block."""
    _endings.add(end)
    try:
        yield
    finally:
        _endings.discard(end)


def check(what: str) -> None:
    """See whether the run goes on.

    Raises:
        Terminal: it has ended.
    """
    if _interrupted.is_set():
        raise Terminal(f"{what} was stopped, because its run was.")
