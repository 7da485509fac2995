"""What a run's log can do without."""

import logging

from prefect.logging import get_logger

from tasks.core.errors import DeliveryError

BARE = "Finished in state Completed()"
"""What Prefect logs at the end of each task that has nothing more to say."""


def quieten() -> None:
    """Have this process's runs log no bare ends of tasks, and no traceback of an error that says what to do."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        get_logger(name).addFilter(_worth_reading)  # once, however often it is called


def _worth_reading(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], DeliveryError):
        record.exc_info = None
    return record.getMessage() != BARE
