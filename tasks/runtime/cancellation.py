"""What the log of a run that is stopped says of what it leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import TerminationSignal
from prefect.logging import get_run_logger


@contextmanager
def said_if_stopped(words: str) -> Iterator[None]:
    """Log these words where the run is cancelled, or its worker is stopped, inside of the block."""
    try:
        yield
    except TerminationSignal:
        get_run_logger().warning(words)
        raise
