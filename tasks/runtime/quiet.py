"""What a run's log can do without."""

import logging
import re

from prefect.logging import get_logger

from tasks.core.errors import DeliveryError

NOISE = re.compile(r"Finished in state Completed\(\)$|(Running hook|Hook) 'name_step'")
"""The end of a task that has nothing more to say, and the hook of ``tasks.runtime.retries``."""


def quieten() -> None:
    """Have this process's runs log no bare ends of tasks, and no traceback of an error that says what to do."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        get_logger(name).addFilter(_worth_reading)  # once, however often it is called


def _worth_reading(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], DeliveryError):
        record.exc_info = None
    return not NOISE.match(record.getMessage())
