"""A run's log, safe to read in a terminal: other systems' words are among its lines."""

from collections.abc import Callable

from prefect.logging import get_run_logger

from tasks.core.text import plain


def info(label: str = "") -> Callable[..., None]:
    """Return the run's log: it takes lines, and what their ``%s`` stand for; ``LABEL | `` begins each line."""
    logger, begin = get_run_logger(), f"{label} | " if label else ""

    def log(text: str, *words: object) -> None:
        said = plain(text % words if words else text)
        logger.info("%s", "\n".join(f"{begin}{line}" for line in said.split("\n")))

    return log
