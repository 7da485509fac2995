"""A run's log, safe to read in a terminal: other systems' words are among its lines."""

from collections.abc import Callable

from prefect.logging import get_run_logger

from tasks.core.text import plain


def info() -> Callable[..., None]:
    """The run's log for progress: takes a line, and what its ``%s`` stand for."""
    logger = get_run_logger()
    return lambda line, *words: logger.info("%s", plain(line % words if words else line))
