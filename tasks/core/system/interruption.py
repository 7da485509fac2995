"""Work that ends at once when its run does: the threads it is in can't be interrupted from outside."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tasks.core.errors import Terminal

_interrupted = threading.Event()
_endings = set[Callable[[], None]]()


@contextmanager
def work_ends_with_it() -> Iterator[None]:
    """End what this process's threads do if the block is left by what is no ``Exception``, such as a signal."""
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
    """See whether the run goes on; the main thread, which is told by other means, may still clear up.

    Raises:
        Terminal: it has ended.
    """
    if _interrupted.is_set() and threading.current_thread() is not threading.main_thread():
        raise Terminal(f"{what} was stopped, because its run was.")


def pause(seconds: float, what: str) -> None:
    """Wait, as long as the run goes on.

    Raises:
        Terminal: it has ended.
    """
    _interrupted.wait(seconds)
    check(what)
